/** Portico's version, as in package.json (a test compares them). */
export const VERSION = '0.1.0';

/** What `-v` shows, and what the `Server` header and `$nginx_version`-like places build on: `portico/0.1.0`. */
export const PRODUCT = `portico/${VERSION}`;
