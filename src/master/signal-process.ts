/** `-s`: tells a running Portico what to do, by way of its pid file. */
import { readFileSync } from 'node:fs';
import { pathBytes } from '../config/glob.ts';
import { describeError, describeFileError, isSystemError } from '../log/system-errors.ts';
import { describeConfigurationError, load } from './check.ts';
import type { SignalName } from './options.ts';
import type { Startup } from './startup.ts';

/** The signals, with the number nginx shows where one cannot be sent. */
const SIGNALS: Readonly<Record<SignalName, readonly [name: NodeJS.Signals, number: number]>> = {
  stop: ['SIGTERM', 15],
  quit: ['SIGQUIT', 3],
  reopen: ['SIGUSR1', 10],
  reload: ['SIGHUP', 1],
};

/**
 * Sends the signal. The configuration is read for the name of the pid file, and checked as far as its directives go
 * each for itself, so that `-s reload` tells of a mistake where it can be seen.
 * @returns the exit code
 */
export function signalProcess(startup: Startup, signal: SignalName): number {
  const { log } = startup;
  let path: string;
  try {
    path = load(startup, undefined).pid;
  } catch (error) {
    const { level, message } = describeConfigurationError(error);
    log.write(level, message);
    return 1;
  }
  log.write('notice', 'signal process started');
  let text: string;
  try {
    text = readFileSync(pathBytes(path), 'latin1');
  } catch (error) {
    if (!isSystemError(error)) throw error;
    log.write('error', describeFileError('open()', path, error));
    return 1;
  }
  const number = text.replace(/[\r\n]+$/, '');
  const pid = /^[0-9]+$/.test(number) ? Number(number) : 0;
  if (pid === 0) {
    log.write('error', `invalid PID number "${number}" in "${path}"`);
    return 1;
  }
  const [name, signalNumber] = SIGNALS[signal];
  try {
    process.kill(pid, name);
    return 0;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    log.write('alert', `kill(${pid}, ${signalNumber}) failed (${describeError(error)})`);
    return 1;
  }
}
