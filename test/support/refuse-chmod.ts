/**
 * Loaded into the program by a test (`NODE_OPTIONS=--import=.../refuse-chmod.ts`): the system refuses to change the mode
 * of files, as long as there is the file named by NODE_TEST_REFUSE_CHMOD.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const file = process.env['NODE_TEST_REFUSE_CHMOD'] ?? '';
const { chmodSync } = fs;

fs.chmodSync = (path, mode) => {
  if (!fs.existsSync(file)) return chmodSync(path, mode);
  throw Object.assign(new Error('the test refuses it'), { code: 'EPERM', errno: -1, syscall: 'chmod' });
};
syncBuiltinESMExports();
