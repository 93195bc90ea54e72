/** nginx's command line options. */

/** What the command line asks for. Text is a byte string. */
export interface Options {
  readonly help: boolean;
  readonly version: boolean;
  readonly versionDetails: boolean;
  /** `-t` or `-T` */
  readonly test: boolean;
  /** `-T` */
  readonly dump: boolean;
  readonly quiet: boolean;
  readonly signal: SignalName | undefined;
  readonly prefix: string | undefined;
  /** `stderr` means standard error. */
  readonly errorLog: string | undefined;
  readonly configuration: string | undefined;
  /** `-g` */
  readonly directives: string | undefined;
}

/** What `-s` takes. */
export type SignalName = 'stop' | 'quit' | 'reopen' | 'reload';

const SIGNALS: readonly string[] = ['stop', 'quit', 'reopen', 'reload'];

/** Options with an argument, and what nginx says where it is missing. */
const ARGUMENTS: Readonly<Record<string, string>> = {
  p: 'directory name',
  e: 'file name',
  c: 'file name',
  g: 'parameter',
  s: 'parameter',
};

/**
 * Reads the arguments. Options may be joined (`-tq`), and an option's argument may follow it at once (`-c/x.conf`).
 * @param words the arguments without the program, as byte strings
 * @throws Error with nginx's message
 */
export function readOptions(words: readonly string[]): Options {
  const flags = new Set<string>();
  const values: Record<string, string> = {};
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (!word.startsWith('-')) throw new Error(`invalid option: "${word}"`);
    for (let at = 1; at < word.length; at++) {
      const option = word[at]!;
      if ('?hvVtTq'.includes(option)) {
        flags.add(option);
        continue;
      }
      const missing = ARGUMENTS[option];
      if (missing === undefined) throw new Error(`invalid option: "${option}"`);
      const value = at + 1 < word.length ? word.slice(at + 1) : words[++index];
      if (value === undefined) throw new Error(`option "-${option}" requires ${missing}`);
      if (option === 's' && !SIGNALS.includes(value)) throw new Error(`invalid option: "-s ${value}"`);
      values[option] = value;
      break;
    }
  }
  const help = flags.has('?') || flags.has('h');
  return {
    help,
    version: help || flags.has('v') || flags.has('V'),
    versionDetails: flags.has('V'),
    test: flags.has('t') || flags.has('T'),
    dump: flags.has('T'),
    quiet: flags.has('q'),
    signal: values['s'] as SignalName | undefined,
    prefix: values['p'],
    errorLog: values['e'],
    configuration: values['c'],
    directives: values['g'],
  };
}
