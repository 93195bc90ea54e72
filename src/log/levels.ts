/**
 * The levels of nginx's error log, most severe first. The numbers are nginx's: a log at level n takes every message
 * whose number is n or less.
 */
export const LEVELS = {
  emerg: 1,
  alert: 2,
  crit: 3,
  error: 4,
  warn: 5,
  notice: 6,
  info: 7,
  debug: 8,
} as const;

/** The name of a level. */
export type LevelName = keyof typeof LEVELS;

/** The names, most severe first. */
export const LEVEL_NAMES = Object.keys(LEVELS) as readonly LevelName[];

/**
 * The parts of nginx's debugging log that `error_log` can choose between. Portico has one debugging log, so each
 * of them means `debug`.
 */
const DEBUG_PARTS: readonly string[] = [
  'debug_core',
  'debug_alloc',
  'debug_mutex',
  'debug_event',
  'debug_http',
  'debug_mail',
  'debug_stream',
];

/** Whether a word is the name of a level. */
export function isLogLevel(word: string): word is LevelName {
  return Object.hasOwn(LEVELS, word);
}

/** Whether a word names a part of nginx's debugging log, `debug_http`. */
export function isDebugPart(word: string): boolean {
  return DEBUG_PARTS.includes(word);
}
