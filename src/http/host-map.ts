/** Values by name without regard to case, some of the names with a wildcard: what `hostnames` of a `map` allows. */

/** What became of a name that was added. */
export type Added = 'added' | 'invalid' | 'conflicting';

/**
 * Byte strings in either case to values. Names may stand for many: `*.example.com` for every name that ends so,
 * `.example.com` for these and `example.com` itself, `www.example.*` for every name that begins so. An exact name goes
 * before all others, then the longest with its asterisk in front, then the longest with its asterisk at the end.
 */
export class HostMap<Value> {
  readonly #exact = new Map<string, Value>();
  /** `.example.com`, for the name itself: what is after the dot. */
  readonly #dotted = new Map<string, Value>();
  /** What is after `*.`, or after the dot of `.example.com`. */
  readonly #heads = new Map<string, Value>();
  /** What is before `.*`. */
  readonly #tails = new Map<string, Value>();

  /**
   * Adds a name.
   * @param wildcards false: an asterisk, and a dot in front, mean nothing but themselves
   * @returns `invalid` for an asterisk anywhere else, or two dots in a row; `conflicting` for a name that is there
   */
  add(name: string, value: Value, wildcards: boolean): Added {
    const key = asciiLowerCase(name);
    if (wildcards) {
      const asterisk = key.indexOf('*');
      if (asterisk !== key.lastIndexOf('*') || key.includes('..') || key.includes('\0')) return 'invalid';
      if (key.length > 1 && key.startsWith('.')) return this.#addHead(key.slice(1), value, true);
      if (key.length > 2 && key.startsWith('*.')) return this.#addHead(key.slice(2), value, false);
      if (key.length > 2 && key.endsWith('.*')) return insert(this.#tails, key.slice(0, -2), value);
      if (asterisk >= 0) return 'invalid';
    }
    return this.#dotted.has(key) ? 'conflicting' : insert(this.#exact, key, value);
  }

  #addHead(suffix: string, value: Value, itself: boolean): Added {
    if (this.#heads.has(suffix) || (itself && this.#exact.has(suffix))) return 'conflicting';
    this.#heads.set(suffix, value);
    if (itself) this.#dotted.set(suffix, value);
    return 'added';
  }

  /** The value of a name, given in either case. */
  find(name: string): Value | undefined {
    let value = this.#exact.get(name);
    if (value !== undefined) return value;
    const lower = asciiLowerCase(name);
    // Where nothing was in upper case, that was the answer already.
    if (lower !== name) {
      value = this.#exact.get(lower);
      if (value !== undefined) return value;
    }
    if (this.#heads.size > 0) {
      value = this.#dotted.get(lower);
      if (value !== undefined) return value;
      for (let dot = lower.indexOf('.'); dot >= 0; dot = lower.indexOf('.', dot + 1)) {
        value = this.#heads.get(lower.slice(dot + 1));
        if (value !== undefined) return value;
      }
    }
    if (this.#tails.size > 0) {
      for (let dot = lower.lastIndexOf('.'); dot > 0; dot = lower.lastIndexOf('.', dot - 1)) {
        value = this.#tails.get(lower.slice(0, dot));
        if (value !== undefined) return value;
      }
    }
    return undefined;
  }
}

function insert<Value>(names: Map<string, Value>, key: string, value: Value): Added {
  if (names.has(key)) return 'conflicting';
  names.set(key, value);
  return 'added';
}

/** The byte string with A to Z in lower case, and all other bytes as they are. */
export function asciiLowerCase(text: string): string {
  let upper = false;
  let ascii = true;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code >= 65 && code <= 90) upper = true;
    else if (code > 127) ascii = false;
  }
  if (!upper) return text;
  return ascii ? text.toLowerCase() : text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
