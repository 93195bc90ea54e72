/** `proxy_cookie_domain`, `proxy_cookie_path`, `proxy_cookie_flags`: Set-Cookie of an upstream server, rewritten. */
import type { Statement } from '../../config/statement.ts';
import type { Exchange } from '../../core/exchange.ts';
import type { Link } from '../../core/link.ts';
import type { Template } from '../../core/template.ts';
import { compilePrefixRewriting, type Rewriting, replaceMatch, rewriteFirst } from './redirect.ts';

/** One attribute of a cookie; the first is its name and value. */
interface Attribute {
  name: string;
  /** Undefined where there is no `=`. */
  value: string | undefined;
}

/** Changes the attributes. @returns whether it has */
type FlagSetter = (exchange: Exchange, cookie: string) => readonly string[] | undefined;

/** The rewriting of cookies in one location. */
export interface CookieRewriting {
  readonly domains: readonly Rewriting[];
  readonly paths: readonly Rewriting[];
  readonly flags: readonly FlagSetter[];
}

/** Compiles one `proxy_cookie_domain`: domains are compared in either case, a leading dot does not count. */
export function compileCookieDomain(statement: Statement, link: Link): Rewriting {
  const [pattern = '', text = ''] = statement.args;
  if (pattern.startsWith('~')) {
    return replaceMatch(statement, pattern.slice(1), true, link.template(statement, text), link);
  }
  const domain = link.template(statement, withoutDot(pattern));
  const replacement = link.template(statement, withoutDot(text));
  return (exchange, value) => {
    const dotted = value.startsWith('.');
    const bare = dotted ? value.slice(1) : value;
    const wanted = domain.constant ?? domain.evaluate(exchange);
    if (bare.length !== wanted.length || bare.toLowerCase() !== wanted.toLowerCase()) return undefined;
    const replaced = replacement.constant ?? replacement.evaluate(exchange);
    return dotted ? `.${replaced}` : replaced;
  };
}

/** Compiles one `proxy_cookie_path`. */
export function compileCookiePath(statement: Statement, link: Link): Rewriting {
  return compilePrefixRewriting(statement, link);
}

/** Compiles one `proxy_cookie_flags cookie flag ...`. */
export function compileCookieFlags(statement: Statement, link: Link): FlagSetter {
  const [cookie = '', ...words] = statement.args;
  const matches = compileCookieName(statement, cookie, link);
  const templates: Template[] = words.map((word) => link.template(statement, word));
  return (exchange, name) => {
    if (!matches(exchange, name)) return undefined;
    return templates.map((template) => (template.constant ?? template.evaluate(exchange)).toLowerCase());
  };
}

function compileCookieName(
  statement: Statement,
  pattern: string,
  link: Link,
): (exchange: Exchange, name: string) => boolean {
  if (pattern.startsWith('~')) {
    const regex = link.regex(statement, pattern.slice(1), true);
    return (exchange, name) => regex.match(exchange, name);
  }
  const template = link.template(statement, pattern);
  return (exchange, name) =>
    (template.constant ?? template.evaluate(exchange)).toLowerCase() === name.toLowerCase();
}

function withoutDot(domain: string): string {
  return domain.startsWith('.') ? domain.slice(1) : domain;
}

/** The value of a Set-Cookie header, rewritten; undefined where nothing applies. */
export function rewriteCookie(
  rewriting: CookieRewriting,
  exchange: Exchange,
  text: string,
): string | undefined {
  const attributes = parseCookie(text);
  const [cookie] = attributes;
  if (cookie === undefined || cookie.value === undefined) return undefined;
  let changed = false;
  for (let index = 1; index < attributes.length; index++) {
    const attribute = attributes[index]!;
    if (attribute.value === undefined) continue;
    const name = attribute.name.toLowerCase();
    const rewritings = name === 'domain' ? rewriting.domains : name === 'path' ? rewriting.paths : undefined;
    if (rewritings === undefined) continue;
    const rewritten = rewriteFirst(rewritings, exchange, attribute.value);
    if (rewritten === undefined) continue;
    attribute.value = rewritten;
    changed = true;
  }
  const flags = findFlags(rewriting.flags, exchange, cookie.name);
  if (flags !== undefined && applyFlags(attributes, flags)) changed = true;
  if (!changed) return undefined;
  let result = '';
  for (const { name, value } of attributes) {
    if (result !== '') result += '; ';
    result += value === undefined ? name : `${name}=${value}`;
  }
  return result;
}

function findFlags(
  setters: readonly FlagSetter[],
  exchange: Exchange,
  cookie: string,
): readonly string[] | undefined {
  for (let index = 0; index < setters.length; index++) {
    const flags = setters[index]!(exchange, cookie);
    if (flags !== undefined) return flags;
  }
  return undefined;
}

/** Splits a cookie at its semicolons; spaces around names and values are dropped. */
function parseCookie(text: string): Attribute[] {
  const attributes: Attribute[] = [];
  let start = 0;
  for (;;) {
    const semicolon = text.indexOf(';', start);
    const end = semicolon < 0 ? text.length : semicolon;
    const equals = text.indexOf('=', start);
    if (equals < 0 || equals >= end) attributes.push({ name: trim(text, start, end), value: undefined });
    else attributes.push({ name: trim(text, start, equals), value: trim(text, equals + 1, end) });
    if (semicolon < 0) return attributes;
    start = semicolon + 1;
  }
}

function trim(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && text.charCodeAt(start) === 32) start++;
  while (end > start && text.charCodeAt(end - 1) === 32) end--;
  return text.slice(start, end);
}

const KNOWN_FLAGS = new Set([
  'secure',
  'nosecure',
  'httponly',
  'nohttponly',
  'samesite=strict',
  'samesite=lax',
  'samesite=none',
  'nosamesite',
]);

const SAME_SITE = ['Strict', 'Lax', 'None'];

/** Sets and removes flags. A word that is none of them does nothing. @returns whether there was one */
function applyFlags(attributes: Attribute[], words: readonly string[]): boolean {
  const flags = new Set(words.filter((word) => KNOWN_FLAGS.has(word)));
  if (flags.size === 0) return false;
  setFlag(attributes, 'Secure', flags.has('secure'), flags.has('nosecure'));
  setFlag(attributes, 'HttpOnly', flags.has('httponly'), flags.has('nohttponly'));
  const sameSite = SAME_SITE.find((value) => flags.has(`samesite=${value.toLowerCase()}`));
  if (sameSite !== undefined) setSameSite(attributes, sameSite);
  else if (flags.has('nosamesite')) removeAttribute(attributes, 'samesite');
  return true;
}

function setFlag(attributes: Attribute[], name: string, on: boolean, off: boolean): void {
  const lowerCase = name.toLowerCase();
  if (on) {
    if (!hasAttribute(attributes, lowerCase)) attributes.push({ name, value: undefined });
  } else if (off) removeAttribute(attributes, lowerCase);
}

function setSameSite(attributes: Attribute[], value: string): void {
  let found = false;
  for (let index = 1; index < attributes.length; index++) {
    const attribute = attributes[index]!;
    if (attribute.name.toLowerCase() !== 'samesite') continue;
    // Only the first one is looked at, and left as it is written where it says the same.
    if (!found && attribute.value?.toLowerCase() !== value.toLowerCase()) {
      attribute.name = 'SameSite';
      attribute.value = value;
    }
    found = true;
  }
  if (!found) attributes.push({ name: 'SameSite', value });
}

function hasAttribute(attributes: readonly Attribute[], lowerCaseName: string): boolean {
  for (let index = 1; index < attributes.length; index++) {
    if (attributes[index]!.name.toLowerCase() === lowerCaseName) return true;
  }
  return false;
}

function removeAttribute(attributes: Attribute[], lowerCaseName: string): void {
  for (let index = attributes.length - 1; index >= 1; index--) {
    if (attributes[index]!.name.toLowerCase() === lowerCaseName) attributes.splice(index, 1);
  }
}
