/** `env`: which environment variables stay. */

/** Variables that Node.js and its threads look at, and the time zone, as nginx. */
function isKept(name: string): boolean {
  return name === 'TZ' || name.startsWith('NODE_') || name.startsWith('UV_');
}

/**
 * Leaves in the process's environment what `env` says: `NAME` stays as it was at the start, `NAME=value` is set.
 * @param original the environment the process was started with
 * @param directives the arguments of all `env` directives
 */
export function applyEnvironment(original: Readonly<NodeJS.ProcessEnv>, directives: readonly string[]): void {
  const wanted = new Map<string, string>();
  for (const [name, value] of Object.entries(original)) {
    if (value !== undefined && isKept(name)) wanted.set(name, value);
  }
  for (const word of directives) {
    const end = word.indexOf('=');
    const value = end < 0 ? original[word] : word.slice(end + 1);
    if (value !== undefined) wanted.set(end < 0 ? word : word.slice(0, end), value);
  }
  for (const name of Object.keys(process.env)) if (!wanted.has(name)) delete process.env[name];
  for (const [name, value] of wanted) if (process.env[name] !== value) process.env[name] = value;
}
