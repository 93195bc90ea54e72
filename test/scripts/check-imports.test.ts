import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { checkImports } from '../../scripts/check-imports.ts';

const script = resolve(import.meta.dirname, '../../scripts/check-imports.ts');

/** Makes a tree of files below a new directory, which goes with the test. */
function plant(context: TestContext, files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'portico-imports-'));
  context.after(() => rmSync(root, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

describe('imports that the house allows', () => {
  it('finds nothing to say of a tree that keeps the rules', (context) => {
    const root = plant(context, {
      'src/cli.ts': "import { start } from './master/start.ts';\nimport './version.ts';\nstart();",
      'src/version.ts': "export const version = '1';",
      'src/master/start.ts':
        "import type { Task } from '../worker/serve.ts';\nexport function start(): Task { return 1; }",
      'src/worker/serve.ts':
        "import { modules } from '../modules/index.ts';\nimport { serve } from '../engines/node/serve.ts';\nexport type Task = 1;\nserve(modules);",
      'src/engines/node/serve.ts':
        "import type { Exchange } from '../../core/exchange.ts';\nexport function serve(_: Exchange[]): void {}",
      'src/modules/index.ts': "import { access } from './access.ts';\nexport const modules = [access];",
      'src/modules/access.ts': "import { peer } from '../upstream/peer.ts';\nexport const access = peer;",
      'src/modules/proxy/index.ts': "export * from './pass.ts';",
      'src/modules/proxy/pass.ts':
        "import { peer } from '../../upstream/peer.ts';\nexport const pass = peer;",
      'src/upstream/peer.ts': "import { version } from '../version.ts';\nexport const peer = version;",
      'src/core/exchange.ts': "export type { Log as Exchange } from '../log/log.ts';",
      'src/log/log.ts':
        "import { EventEmitter } from 'node:events';\nexport type Log = string;\nvoid EventEmitter;",
    });
    assert.deepEqual(checkImports(root), { files: 12, imports: 12, offences: [] });
  });
});

describe('imports that the house forbids', () => {
  const empty = 'export const x = 1;\nexport type X = number;\n';

  for (const [what, from, text, expected] of [
    ['a value', 'core/a.ts', "import { x } from '../modules/b.ts'; void x;", 'core must not import modules'],
    [
      'a type',
      'http/a.ts',
      "import type { X } from '../core/b.ts'; void (0 as X);",
      'http must not import core',
    ],
    ['a re-export', 'config/a.ts', "export { x } from '../log/b.ts';", 'config must not import log'],
    ['a dynamic import', 'shared/a.ts', "await import('../event/b.ts');", 'shared must not import event'],
    ['a type written in place', 'log/a.ts', "let y: import('../core/b.ts').X;", 'log must not import core'],
    ['an import for its effects', 'event/a.ts', "import '../log/b.ts';", 'event must not import log'],
    ['the master', 'worker/a.ts', "import '../master/b.ts';", 'worker must not import master'],
    ['the worker, but from the master', 'cli.ts', "import './worker/b.ts';", 'cli must not import worker'],
    [
      'a sibling module',
      'modules/gzip.ts',
      "import '../modules/b/c.ts';",
      'a module must not import another module; what they share goes to core or upstream',
    ],
    [
      'the list of modules, from a module',
      'modules/gzip.ts',
      "import './index.ts';",
      'a module must not import another module; what they share goes to core or upstream',
    ],
    ['a test', 'core/a.ts', "import '../../test/b.ts';", 'src must not import what is outside it'],
  ] as const) {
    it(`names both files: ${what}`, (context) => {
      const specifier = /'(\.[^']+)'/.exec(text)![1];
      const to = join('src', dirname(from), specifier);
      const root = plant(context, { [`src/${from}`]: text, [to]: empty });
      assert.deepEqual(checkImports(root).offences, [`src/${from} -> ${to}: ${expected}`]);
    });
  }

  it('does not take comments and strings for imports', (context) => {
    const root = plant(context, {
      'src/http/a.ts':
        "// import '../core/b.ts';\nexport const text = `import '../core/b.ts'; ${\"import('../core/b.ts')\"}`;",
      'src/core/b.ts': empty,
    });
    assert.deepEqual(checkImports(root).offences, []);
  });

  it('knows no other folders than those of the house', (context) => {
    const root = plant(context, { 'src/helpers/a.ts': empty });
    assert.deepEqual(checkImports(root).offences, ['src/helpers/a.ts: the house has no place for this file']);
  });
});

describe('circles', () => {
  it('names the files of each, in order', (context) => {
    const root = plant(context, {
      'src/core/a.ts': "import './b.ts';",
      'src/core/b.ts': "import './c.ts'; import '../http/d.ts';",
      'src/core/c.ts': "import './a.ts';",
      'src/http/d.ts': "export { e } from './e.ts';",
      'src/http/e.ts': "export const e = 1; await import('./d.ts');",
      'src/log/f.ts': "import './f.ts';",
    });
    assert.deepEqual(checkImports(root).offences, [
      'src/core/a.ts -> src/core/b.ts -> src/core/c.ts -> src/core/a.ts: these imports run in a circle',
      'src/http/d.ts -> src/http/e.ts -> src/http/d.ts: these imports run in a circle',
      'src/log/f.ts -> src/log/f.ts: these imports run in a circle',
    ]);
  });

  it('do not run through imports that are gone at run time', (context) => {
    const root = plant(context, {
      'src/core/a.ts': "import type { B } from './b.ts';\nexport type A = B | 1;",
      'src/core/b.ts': "export type { A } from './a.ts';\nexport type B = import('./c.ts').C;",
      'src/core/c.ts': "import { type B } from './b.ts';\nexport type C = B | 1;",
    });
    assert.deepEqual(checkImports(root).offences, []);
  });
});

describe('the program', () => {
  it('prints a line for each offence and exits with 1', (context) => {
    const root = plant(context, {
      'src/core/a.ts': "import '../modules/b.ts';",
      'src/modules/b.ts': "import '../worker/c.ts';",
      'src/worker/c.ts': '',
    });
    const { status, stdout } = spawnSync(process.execPath, [script, root], { encoding: 'utf8' });
    assert.equal(status, 1);
    assert.equal(
      stdout,
      'src/core/a.ts -> src/modules/b.ts: core must not import modules\n' +
        'src/modules/b.ts -> src/worker/c.ts: modules must not import worker\n',
    );
  });

  it('says what it has read, and exits with 0, when all is well', (context) => {
    const root = plant(context, { 'src/core/a.ts': "import './b.ts';", 'src/core/b.ts': '' });
    const { status, stdout } = spawnSync(process.execPath, [script, root], { encoding: 'utf8' });
    assert.equal(status, 0);
    assert.equal(stdout, '1 imports among 2 files of src: all as the house allows\n');
  });
});
