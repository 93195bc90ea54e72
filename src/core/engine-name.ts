/** The engines there are, by the names that `use` and `engine=` give them. What each is stands in `engines/index.ts`. */

export const ENGINE_NAMES = ['node', 'uws'] as const;

/** The name of an engine. */
export type EngineName = (typeof ENGINE_NAMES)[number];

/** Whether a word is the name of an engine. */
export function isEngineName(word: string): word is EngineName {
  return (ENGINE_NAMES as readonly string[]).includes(word);
}
