import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';

const launcher = resolve(import.meta.dirname, '../../scripts/portico');

/** What V8 is told on every start: see the launcher. */
const tuning = [
  '--max-inlined-bytecode-size=1000',
  '--max-inlined-bytecode-size-cumulative=4000',
  '--no-allocation-site-pretenuring',
];

/** What the stand-in for the program prints of the process that it finds itself in. */
interface Report {
  program: string;
  arguments: string[];
  nodeFlags: string[];
  cache?: string;
  processId: number;
}

const standIn = `
console.log(JSON.stringify({
  program: process.argv[1], arguments: process.argv.slice(2), nodeFlags: process.execArgv,
  cache: process.env.NODE_COMPILE_CACHE, processId: process.pid,
}));`;

/** Makes a copy of Portico whose program is a stand-in; it goes with the test. */
function plant(context: TestContext, files: Readonly<Record<string, string>>): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'portico-launcher-')));
  context.after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'scripts'));
  cpSync(launcher, join(root, 'scripts/portico'));
  for (const [name, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

/** Puts a Node.js where the dependencies have it: this one. */
function installNode(root: string): void {
  mkdirSync(join(root, 'node_modules/node/bin'), { recursive: true });
  symlinkSync(process.execPath, join(root, 'node_modules/node/bin/node'));
}

/** Puts a program on the PATH that says it is Node.js of this version, and runs as this one. */
function fakeNode(root: string, version: string): string {
  const directory = join(root, `fake-${version}`);
  mkdirSync(directory);
  const program = join(directory, 'node');
  writeFileSync(
    program,
    `#!/bin/sh\nif [ "$1" = --version ]; then echo ${version}; else exec '${process.execPath}' "$@"; fi\n`,
  );
  chmodSync(program, 0o755);
  return `${directory}:/usr/bin:/bin`;
}

/** The environment without what the test runner, or a developer, has in it for Node.js. */
function environment(changes: Readonly<Record<string, string | undefined>> = {}): NodeJS.ProcessEnv {
  return { ...process.env, NODE_COMPILE_CACHE: undefined, NODE_OPTIONS: undefined, ...changes };
}

/** Runs it to its end. */
function run(command: string, commandArguments: string[], env: NodeJS.ProcessEnv, cwd?: string) {
  const { status, stdout, stderr } = spawnSync(command, commandArguments, { env, cwd, encoding: 'utf8' });
  return { status, stderr, report: stdout === '' ? undefined : (JSON.parse(stdout) as Report) };
}

describe('where the launcher is called from', () => {
  const sources = { 'src/cli.ts': standIn, 'bin/keep': '', 'a folder/keep': '' };

  for (const [what, call, directory] of [
    ['by its path', '{root}/scripts/portico', '/'],
    ['by a relative path', 'scripts/portico', '{root}'],
    ['from its own directory', './portico', '{root}/scripts'],
    ['from beside it', '../scripts/portico', '{root}/src'],
    ['by an absolute link', '{root}/absolute', '/'],
    ['by a relative link', '{root}/bin/portico', '/'],
    ['by a link to a link, relative', 'a folder/chain', '{root}'],
    ['by a link to its directory', '{root}/bin/scripts/portico', '/'],
  ]) {
    it(what, (context) => {
      const root = plant(context, sources);
      installNode(root);
      symlinkSync(join(root, 'scripts/portico'), join(root, 'absolute'));
      symlinkSync('../scripts/portico', join(root, 'bin/portico'));
      symlinkSync('../bin/portico', join(root, 'a folder/chain'));
      symlinkSync(join(root, 'scripts'), join(root, 'bin/scripts'));
      const place = (text: string) => text.replace('{root}', root);
      const { report, status } = run(place(call), ['-t', 'two words', ''], environment(), place(directory));
      assert.equal(status, 0);
      assert.equal(realpathSync(report!.program), join(root, 'src/cli.ts'));
      assert.deepEqual(report!.arguments, ['-t', 'two words', '']);
    });
  }

  it('by its name, found on the PATH', (context) => {
    const root = plant(context, sources);
    installNode(root);
    const env = environment({ PATH: `${root}/scripts:/usr/bin:/bin` });
    assert.equal(run('sh', ['-c', 'portico'], env, '/').report?.program, join(root, 'src/cli.ts'));
    assert.equal(
      run('sh', ['portico'], env, join(root, 'scripts')).report?.program,
      join(root, 'src/cli.ts'),
    );
  });
});

describe('what the launcher runs', () => {
  it('becomes the program: same process, same signals, its exit code', async (context) => {
    const root = plant(context, {
      'src/cli.ts': `process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000); ${standIn}`,
    });
    installNode(root);
    const child = spawn(join(root, 'scripts/portico'), {
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    context.after(() => child.kill('SIGKILL'));
    const [output] = await once(child.stdout, 'data');
    assert.equal((JSON.parse(String(output)) as Report).processId, child.pid);
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [7, null]);
  });

  it('takes the sources when there are sources, with the pinned Node.js', (context) => {
    const root = plant(context, { 'src/cli.ts': standIn, 'dist/cli.js': 'process.exit(9)' });
    installNode(root);
    const { report, stderr } = run(join(root, 'scripts/portico'), [], environment({ PATH: '/usr/bin:/bin' }));
    assert.equal(report?.program, join(root, 'src/cli.ts'));
    assert.deepEqual(report?.nodeFlags, tuning);
    assert.equal(stderr, '');
  });

  it('takes what is compiled where there are no sources', (context) => {
    const root = plant(context, { 'dist/cli.js': standIn });
    const { report } = run(
      join(root, 'scripts/portico'),
      [],
      environment({ PATH: fakeNode(root, 'v22.12.0') }),
    );
    assert.equal(report?.program, join(root, 'dist/cli.js'));
    assert.deepEqual(report?.nodeFlags, tuning);
  });

  it('has an older Node.js strip types', (context) => {
    const root = plant(context, { 'src/cli.ts': standIn });
    for (const [version, flags] of [
      ['v22.12.0', ['--experimental-strip-types', '--disable-warning=ExperimentalWarning']],
      ['v26.10.0', []],
    ] as const) {
      const { report } = run(
        join(root, 'scripts/portico'),
        [],
        environment({ PATH: fakeNode(root, version) }),
      );
      assert.deepEqual(report?.nodeFlags, [...tuning, ...flags], version);
    }
  });

  it('leaves NODE_OPTIONS in force', (context) => {
    const root = plant(context, { 'src/cli.ts': 'console.log(JSON.stringify(process.title));' });
    installNode(root);
    const env = environment({ NODE_OPTIONS: '--title=from-the-options' });
    assert.equal(run(join(root, 'scripts/portico'), [], env).report as unknown, 'from-the-options');
  });
});

describe('what the launcher refuses', () => {
  for (const version of ['v20.20.2', 'v22.11.0', 'v9.0.0', 'nonsense']) {
    it(`Node.js ${version}`, (context) => {
      const root = plant(context, { 'src/cli.ts': standIn });
      const { status, stderr } = run(
        join(root, 'scripts/portico'),
        [],
        environment({ PATH: fakeNode(root, version) }),
      );
      assert.equal(status, 1);
      assert.match(stderr, /^portico: Node\.js 22\.12 or newer is needed, found .*node\n/);
      assert.match(stderr, /'npm ci' in .* installs one/);
    });
  }

  it('no Node.js at all', (context) => {
    const root = plant(context, { 'dist/cli.js': standIn });
    const { status, stderr } = run(
      join(root, 'scripts/portico'),
      [],
      environment({ PATH: join(root, 'scripts') }),
    );
    assert.equal(status, 1);
    assert.equal(stderr, 'portico: Node.js 22.12 or newer is needed, found none\n');
  });

  it('a copy without a program', (context) => {
    const root = plant(context, {});
    const { status, stderr } = run(join(root, 'scripts/portico'), [], environment());
    assert.equal(status, 1);
    assert.equal(
      stderr,
      `portico: neither src/cli.ts nor dist/cli.js in ${root}: this is not a whole copy of Portico\n`,
    );
  });
});

describe('where compiled code is kept between runs', () => {
  it('among the dependencies', (context) => {
    const root = plant(context, { 'src/cli.ts': standIn });
    installNode(root);
    const { report } = run(join(root, 'scripts/portico'), [], environment());
    assert.equal(report?.cache, join(root, 'node_modules/.cache/portico'));
  });

  it('else in the home directory', (context) => {
    const root = plant(context, { 'dist/cli.js': standIn, 'home/keep': '', 'cache/keep': '' });
    const cacheWith = (changes: Record<string, string | undefined>) =>
      run(
        join(root, 'scripts/portico'),
        [],
        environment({ HOME: join(root, 'home'), XDG_CACHE_HOME: undefined, ...changes }),
      ).report?.cache;
    assert.equal(cacheWith({}), join(root, 'home/.cache/portico'));
    assert.equal(cacheWith({ XDG_CACHE_HOME: join(root, 'cache') }), join(root, 'cache/portico'));
    assert.equal(cacheWith({ HOME: join(root, 'none') }), undefined);
    assert.equal(cacheWith({ HOME: undefined }), undefined);
  });

  it('but where NODE_COMPILE_CACHE says, if it says so', (context) => {
    const root = plant(context, { 'src/cli.ts': standIn });
    installNode(root);
    const env = environment({ NODE_COMPILE_CACHE: join(root, 'elsewhere') });
    assert.equal(run(join(root, 'scripts/portico'), [], env).report?.cache, join(root, 'elsewhere'));
  });
});
