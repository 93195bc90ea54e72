/** A thread that appends lines to one file through an error log and an access log, then ends. */
import { workerData } from 'node:worker_threads';
import { createTimerWheel } from '../../src/event/timers.ts';
import { createAccessLogWriter } from '../../src/log/access-log-writer.ts';
import { createErrorLog } from '../../src/log/error-log.ts';
import { LEVELS } from '../../src/log/levels.ts';
import { createOpenFiles } from '../../src/log/open-files.ts';

const { path, name, lines } = workerData as { path: string; name: string; lines: number };
const files = createOpenFiles();
const target = { kind: 'file', path, level: LEVELS.info, json: false } as const;
const errorLog = createErrorLog([target], files);
const accessLog = createAccessLogWriter(files, path, errorLog, createTimerWheel());

for (let line = 0; line < lines; line++) {
  accessLog.write(`access ${name} ${line} ${name.repeat(line % 300)} end\n`);
  if (line % 3 === 0)
    errorLog.write('info', `${line} ${name.repeat(line % 300)} end`, line + 1, () => `, client: ${name}`);
  if (line % 50 === 0) await new Promise(setImmediate);
}
accessLog.close();
errorLog.close();
files.closeAll();
