import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { describe, test } from 'node:test';
import { openStartup } from '../../src/master/startup.ts';
import { createSandbox } from '../support/portico.ts';

const NOTHING = { prefix: undefined, errorLog: undefined, configuration: undefined, directives: undefined };

describe('where files are', () => {
  test('the directory for logs is made in the default prefix, which nobody has prepared', () => {
    using sandbox = createSandbox();
    rmSync(sandbox.path('logs'), { recursive: true });
    const startup = openStartup({ ...NOTHING, installation: sandbox.directory });
    assert.equal(startup.errorLog, sandbox.path('logs/error.log'));
    startup.log.write('notice', 'written');
    assert.match(sandbox.read('logs/error.log'), /written\n$/);
    startup.files.closeAll();
  });

  test("a prefix of one's own is taken as it is", () => {
    using sandbox = createSandbox();
    rmSync(sandbox.path('logs'), { recursive: true });
    const startup = openStartup({
      ...NOTHING,
      prefix: sandbox.directory,
      installation: '/',
      errorLog: 'stderr',
    });
    assert.equal(startup.prefix, sandbox.directory);
    assert.equal(startup.path('x'), sandbox.path('x'));
    assert.equal(existsSync(sandbox.path('logs')), false);
  });
});
