import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { VERSION } from '../src/version.ts';
import { createSandbox, LAUNCHER, runPortico, type Sandbox } from './support/portico.ts';
import { freePort } from './support/ports.ts';

let sandbox: Sandbox;
before(() => {
  sandbox = createSandbox();
});
after(() => sandbox.remove());

/** Runs it with the sandbox as its prefix and the log on standard error. */
function run(...args: string[]) {
  return runPortico(['-p', sandbox.directory, '-c', 'conf/x.conf', '-e', 'stderr', ...args]);
}

/** Standard error without the times and process ids of log lines. */
function withoutTimes(text: string): string {
  return text.replace(/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d (\[\w+\]) \d+#\d+: /gm, '$1 ');
}

describe('the command line', () => {
  test('-v shows the version that package.json has', async () => {
    const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    assert.equal(VERSION, manifest.version);
    const { code, stdout, stderr } = await runPortico(['-v']);
    assert.deepEqual([code, stdout, stderr], [0, '', `portico version: portico/${VERSION}\n`]);
  });

  test('-V shows what it runs on', async () => {
    const { code, stderr } = await runPortico(['-V']);
    assert.equal(code, 0);
    assert.match(stderr, /^portico version: .*\nrunning on Node\.js 2\d\..*\nrunning with OpenSSL /);
  });

  for (const option of ['-h', '-?']) {
    test(`${option} shows the options`, async () => {
      const { code, stderr } = await runPortico([option]);
      assert.equal(code, 0);
      for (const letter of 'vVtTqspecg') assert.match(stderr, new RegExp(`^  -${letter} `, 'm'));
    });
  }

  const mistakes: [args: string[], message: string][] = [
    [['-x'], 'invalid option: "x"'],
    [['-tx'], 'invalid option: "x"'],
    [['start'], 'invalid option: "start"'],
    [['-c'], 'option "-c" requires file name'],
    [['-e'], 'option "-e" requires file name'],
    [['-p'], 'option "-p" requires directory name'],
    [['-g'], 'option "-g" requires parameter'],
    [['-s'], 'option "-s" requires parameter'],
    [['-s', 'foo'], 'invalid option: "-s foo"'],
  ];
  for (const [args, message] of mistakes) {
    test(`"${args.join(' ')}" is refused`, async () => {
      assert.deepEqual(await runPortico(args), {
        code: 1,
        signal: null,
        stdout: '',
        stderr: `portico: ${message}\n`,
      });
    });
  }

  test('options may be joined, and arguments follow at once', async () => {
    const file = sandbox.write('conf/joined.conf', 'events {}');
    const { code, stderr } = await runPortico([`-p${sandbox.directory}`, '-estderr', '-tqc', file]);
    assert.deepEqual([code, stderr], [0, '']);
  });
});

describe('-t', () => {
  test('a good configuration', async () => {
    const port = await freePort();
    const file = sandbox.write('conf/x.conf', `events {} http { server { listen ${port}; } }`);
    const { code, stdout, stderr } = await run('-t');
    assert.equal(
      stderr,
      `portico: the configuration file ${file} syntax is ok\nportico: configuration file ${file} test is successful\n`,
    );
    assert.deepEqual([code, stdout], [0, '']);
  });

  test('-q keeps quiet about a good one', async () => {
    sandbox.write('conf/x.conf', 'events {}');
    const { code, stdout, stderr } = await run('-t', '-q');
    assert.deepEqual([code, stdout, stderr], [0, '', '']);
  });

  test('-T shows every file', async () => {
    const other = sandbox.write('conf/other.conf', 'worker_processes 1;\n');
    const file = sandbox.write('conf/x.conf', 'include other.conf;\nevents {}\n');
    const { code, stdout } = await run('-T', '-q');
    assert.equal(code, 0);
    assert.equal(
      stdout,
      `# configuration file ${file}:\ninclude other.conf;\nevents {}\n\n# configuration file ${other}:\nworker_processes 1;\n\n`,
    );
  });

  const faults: [name: string, text: string, message: string][] = [
    [
      'an unknown directive, and the one that was meant',
      'events {}\nworker_proceses 1;',
      'unknown directive "worker_proceses" in FILE:2\ndid you mean "worker_processes"?',
    ],
    [
      'a number of arguments',
      'events {}\nworker_processes;',
      'invalid number of arguments in "worker_processes" directive in FILE:2',
    ],
    ['a value', 'events {}\nworker_processes many;', '"worker_processes" directive invalid value in FILE:2'],
    ['a duplicate', 'daemon on;\ndaemon off;\nevents {}', '"daemon" directive is duplicate in FILE:2'],
    ['a context', 'events { daemon off; }', '"daemon" directive is not allowed here in FILE:1'],
    [
      'a module of nginx',
      'load_module x.so;\nevents {}',
      '"load_module" is not supported: its modules are made for nginx in FILE:1',
    ],
    ['an event method', 'events { use magic; }', 'invalid event type "magic" in FILE:1'],
    ['an unfinished block', 'events {', 'unexpected end of file, expecting "}" in FILE:1'],
  ];
  for (const [name, text, message] of faults) {
    test(`tells of ${name}`, async () => {
      const file = sandbox.write('conf/x.conf', text);
      const { code, stderr } = await run('-t');
      assert.equal(
        withoutTimes(stderr),
        `[emerg] ${message.replace('FILE', file)}\nportico: configuration file ${file} test failed\n`,
      );
      assert.equal(code, 1);
    });
  }

  test('wants an events block, as nginx', async () => {
    const file = sandbox.write('conf/x.conf', 'worker_processes 1;');
    const { code, stderr } = await run('-t');
    assert.equal(
      withoutTimes(stderr),
      `portico: the configuration file ${file} syntax is ok\n[emerg] no "events" section in configuration\n` +
        `portico: configuration file ${file} test failed\n`,
    );
    assert.equal(code, 1);
  });

  test('tells of a missing file', async () => {
    const { code, stderr } = await runPortico(['-t', '-e', 'stderr', '-c', '/nowhere/x.conf']);
    assert.equal(
      withoutTimes(stderr),
      '[emerg] open() "/nowhere/x.conf" failed (2: No such file or directory)\n' +
        'portico: configuration file /nowhere/x.conf test failed\n',
    );
    assert.equal(code, 1);
  });

  test('with a log file, errors are in it and on standard error', async () => {
    const file = sandbox.write('conf/x.conf', 'nonsense;');
    const { stderr } = await runPortico(['-t', '-p', sandbox.directory, '-c', 'conf/x.conf']);
    assert.match(stderr, /^portico: \[emerg\] unknown directive "nonsense" in /);
    assert.match(
      sandbox.read('logs/error.log'),
      /^\d{4}\/.* \[emerg\] \d+#\d+: unknown directive "nonsense" in /,
    );
    assert.match(stderr, new RegExp(`configuration file ${file} test failed\n$`));
  });

  test('a log file that cannot be opened is told of, and standard error is used', async () => {
    sandbox.write('conf/x.conf', 'events {}');
    const { code, stderr } = await runPortico([
      '-t',
      '-q',
      '-p',
      sandbox.directory,
      '-c',
      'conf/x.conf',
      '-e',
      'no/x',
    ]);
    assert.equal(
      stderr,
      `portico: [alert] could not open error log file: open() "${sandbox.path('no/x')}" failed (2: No such file or directory)\n`,
    );
    assert.equal(code, 0);
  });

  test('an error_log that cannot be opened fails, though the syntax is ok', async () => {
    const file = sandbox.write('conf/x.conf', 'error_log no/x.log; events {}');
    const { code, stderr } = await run('-t');
    assert.equal(
      withoutTimes(stderr),
      `portico: the configuration file ${file} syntax is ok\n` +
        `[emerg] open() "${sandbox.path('no/x.log')}" failed (2: No such file or directory)\n` +
        `portico: configuration file ${file} test failed\n`,
    );
    assert.equal(code, 1);
  });

  test('-g comes before the file, and its errors say so', async () => {
    const file = sandbox.write('conf/x.conf', 'daemon off; events {}');
    const { stderr } = await run('-t', '-g', 'daemon off;');
    assert.match(stderr, new RegExp(`"daemon" directive is duplicate in ${file}:1\n`));
    assert.match((await run('-t', '-g', 'foo;')).stderr, /unknown directive "foo" in command line\n/);
  });

  test('an address in use is no error', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    sandbox.write('conf/x.conf', `events {} http { server { listen 127.0.0.1:${port}; } }`);
    const { code } = await run('-t', '-q');
    server.close();
    assert.equal(code, 0);
  });

  test('an address that is not this machine’s is', async () => {
    sandbox.write('conf/x.conf', 'events {} http { server { listen 192.0.2.1:80; } }');
    const { code, stderr } = await run('-t', '-q');
    assert.match(
      stderr,
      /\[emerg\] .*bind\(\) to 192\.0\.2\.1:80 failed \(99: Cannot assign requested address\)/,
    );
    assert.equal(code, 1);
  });
});

describe('-s', () => {
  test('without a pid file', async () => {
    sandbox.write('conf/x.conf', 'pid logs/none.pid; events {}');
    const { code, stderr } = await run('-s', 'stop');
    assert.equal(
      withoutTimes(stderr),
      `[notice] signal process started\n[error] open() "${sandbox.path('logs/none.pid')}" failed (2: No such file or directory)\n`,
    );
    assert.equal(code, 1);
  });

  test('with an empty pid file', async () => {
    sandbox.write('conf/x.conf', 'pid logs/empty.pid; events {}');
    const path = sandbox.write('logs/empty.pid', '');
    const { code, stderr } = await run('-s', 'quit');
    assert.match(stderr, new RegExp(`\\[error\\] .*invalid PID number "" in "${path}"\n$`));
    assert.equal(code, 1);
  });

  test('with the pid of a process that is gone', async () => {
    sandbox.write('conf/x.conf', 'pid logs/gone.pid; events {}');
    const { pid } = spawnSync('true');
    sandbox.write('logs/gone.pid', `${pid}\n`);
    const { code, stderr } = await run('-s', 'reload');
    assert.match(stderr, new RegExp(`\\[alert\\] .*kill\\(${pid}, 1\\) failed \\(3: No such process\\)\n$`));
    assert.equal(code, 1);
  });

  test('a broken configuration is told of', async () => {
    sandbox.write('conf/x.conf', 'nonsense;');
    const { code, stderr } = await run('-s', 'reload');
    assert.match(stderr, /unknown directive "nonsense"/);
    assert.equal(code, 1);
  });
});

test('the launcher can be called through a link from anywhere', () => {
  mkdirSync(sandbox.path('bin'), { recursive: true });
  const link = sandbox.path('bin/portico');
  if (!existsSync(link)) symlinkSync(LAUNCHER, link);
  const { status, stderr } = spawnSync(link, ['-v'], { cwd: '/', encoding: 'latin1' });
  assert.deepEqual([status, stderr], [0, `portico version: portico/${VERSION}\n`]);
  assert.ok(existsSync(fileURLToPath(new URL('../scripts/portico', import.meta.url))));
});
