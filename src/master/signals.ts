/** Signals, with nginx's meanings and nginx's lines in the log. */
import { constants } from 'node:os';
import type { MasterLog } from './startup.ts';

/** What a signal asks for. */
export type Action = 'stop' | 'quit' | 'reload' | 'reopen' | 'stopAccepting' | 'upgrade';

const MEANINGS: readonly (readonly [signal: NodeJS.Signals, action: Action, words: string])[] = [
  ['SIGTERM', 'stop', ', exiting'],
  ['SIGINT', 'stop', ', exiting'],
  ['SIGQUIT', 'quit', ', shutting down'],
  ['SIGHUP', 'reload', ', reconfiguring'],
  ['SIGUSR1', 'reopen', ', reopening logs'],
  ['SIGUSR2', 'upgrade', ', changing binary'],
];

/**
 * Obeys signals from now on.
 * @param daemonized WINCH counts only then: to a program in a terminal it means that the window has another size
 */
export function onSignals(
  daemonized: boolean,
  log: MasterLog,
  actions: Readonly<Record<Action, () => void>>,
): void {
  const obey = (signal: NodeJS.Signals, words: string, action: (() => void) | undefined) => {
    process.on(signal, () => {
      log.write('notice', `signal ${constants.signals[signal]} (${signal}) received${words}`);
      action?.();
    });
  };
  for (const [signal, action, words] of MEANINGS) obey(signal, words, actions[action]);
  if (daemonized) obey('SIGWINCH', ', stop accepting connections', actions.stopAccepting);
  else process.on('SIGWINCH', () => {});
}
