/*
 * All builders of directives, with nginx's error messages: one for each kind of value.
 */
export * from './setters/list.ts';
export {
  type Arity,
  type CheckedOptions,
  type Contexts,
  didYouMean,
  type Options,
} from './setters/options.ts';
export * from './setters/single.ts';
export * from './setters/statement.ts';
