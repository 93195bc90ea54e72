/**
 * Whether any log of this thread takes debugging messages. Places on a request's way look at this one field before
 * they make such a message, and V8 folds it into their code while nothing has changed it: it costs nothing then.
 *
 * ```ts
 * if (debugging.on) debug(exchange, `rewrite phase: ${index}`);
 * ```
 */
export const debugging = { on: false };

let holders = 0;

/** Somebody takes debugging messages from now on. @returns to be called once, when that is over */
export function holdDebugging(): () => void {
  holders++;
  debugging.on = true;
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    holders--;
    if (holders === 0) debugging.on = false;
  };
}
