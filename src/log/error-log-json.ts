import { isUtf8 } from 'node:buffer';
import { createRequire } from 'node:module';
import type { LoggerOptions, pino as Pino } from 'pino';
import { LEVEL_NAMES, type LevelName } from './levels.ts';
import type { LogContext } from './log-context.ts';
import { describeError } from './system-errors.ts';

/** The error log as JSON, one object a line, with the same contents as nginx's lines. */
export interface JsonLines {
  /** Writes one message; arguments as in ErrorLog.write, the context already made. */
  write(
    level: LevelName,
    message: string,
    connection: number,
    context: LogContext | string,
    error: NodeJS.ErrnoException | undefined,
  ): void;
}

/** Characters of any one value, so that a line has a limit as nginx's lines have. */
const VALUE_LIMIT = 2048;

/** nginx's levels as pino's, whose numbers grow with severity: debug 10 to emerg 80. */
const PINO_LEVELS = Object.fromEntries(
  [...LEVEL_NAMES].reverse().map((name, index) => [name, (index + 1) * 10]),
) as Record<LevelName, number>;

const OUTSIDE_ASCII = /[\x80-\xff]/;

/** A byte string as text: UTF-8 if it is that, otherwise each byte as the character of its number. */
function toText(bytes: string): string {
  if (!OUTSIDE_ASCII.test(bytes)) return bytes.slice(0, VALUE_LIMIT);
  const buffer = Buffer.from(bytes, 'latin1');
  // Cut as text, because a cut between two bytes of a character would make it something else than UTF-8.
  return (isUtf8(buffer) ? buffer.toString('utf8') : bytes).slice(0, VALUE_LIMIT);
}

/**
 * A writer of JSON lines for one target.
 * @param threadNumber the `tid` of every line
 * @param append gets each line, UTF-8, with its line feed
 */
export function createJsonLines(threadNumber: number, append: (line: Buffer) => void): JsonLines {
  // Only a configuration that asks for JSON pays for loading pino (20 ms and 3 MB a thread).
  const { pino } = createRequire(import.meta.url)('pino') as { pino: typeof Pino };
  const options: LoggerOptions<LevelName, true> = {
    customLevels: PINO_LEVELS,
    useOnlyCustomLevels: true,
    level: 'debug',
    base: { pid: process.pid, tid: threadNumber },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
  };
  const logger = pino<LevelName, true>(options, { write: (line) => append(Buffer.from(line, 'utf8')) });

  return {
    write(level, message, connection, context, error) {
      const fields: Record<string, string | number> = {};
      if (connection !== 0) fields.connection = connection;
      if (typeof context === 'string') {
        if (context !== '') fields.context = toText(context);
      } else {
        for (const [name, value] of context) fields[name === 'while' ? 'action' : name] = toText(value);
      }
      const text = error === undefined ? message : `${message} (${describeError(error)})`;
      logger[level](fields, '%s', toText(text));
    },
  };
}
