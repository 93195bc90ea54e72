import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, statSync } from 'node:fs';
import { describe, test } from 'node:test';
import { get, isRefused, openClient } from '../support/client.ts';
import { configurationText, createSandbox, runPortico, startPortico } from '../support/portico.ts';
import { freePort, freePorts } from '../support/ports.ts';
import { until } from '../support/wait.ts';

/** A server that answers with a text. */
function saying(text: string, ...addresses: (string | number)[]): string {
  const listens = addresses.map((address) =>
    typeof address === 'number' ? `127.0.0.1:${address}` : address,
  );
  return `server { ${listens.map((listen) => `listen ${listen};`).join(' ')} location / { return 200 "${text}"; } }`;
}

/** A server of files, some of them too long to be sent in one go. */
const files = (port: number) => `server { listen 127.0.0.1:${port}; root files; }`;
const LONG = 8 * 1024 * 1024;

describe('starting and stopping', () => {
  test('the pid file names the process that was started, once it answers, and is gone in the end', async () => {
    const port = await freePort();
    await using portico = await startPortico({ http: saying('hello', port), workers: 2 });
    assert.equal(portico.sandbox.read('logs/portico.pid'), `${portico.pid}\n`);
    assert.equal((await get(port)).body, 'hello');
    const { code, stderr } = await portico.stop('SIGTERM');
    assert.deepEqual([code, stderr], [0, '']);
    assert.ok(!existsSync(portico.sandbox.path('logs/portico.pid')));
    assert.match(portico.errorLog(), /\[notice\] \d+#\d+: signal 15 \(SIGTERM\) received, exiting\n/);
    assert.match(portico.errorLog(), /\[notice\] \d+#\d+: exit\n$/);
  });

  test('-s stop and -s quit end it', async () => {
    for (const signal of ['stop', 'quit']) {
      const port = await freePort();
      await using portico = await startPortico({ http: saying('hello', port) });
      const args = ['-p', portico.sandbox.directory, '-c', 'conf/portico.conf', '-s', signal];
      assert.deepEqual(await runPortico(args), { code: 0, signal: null, stdout: '', stderr: '' });
      assert.equal((await portico.ended).code, 0);
    }
  });

  test('TERM does not wait for a request, and ends within a second', async () => {
    const port = await freePort();
    const sandbox = createSandbox();
    sandbox.write('files/long', 'x'.repeat(LONG));
    await using portico = await startPortico({ sandbox, http: files(port) });
    using client = await openClient(port);
    client.socket.pause();
    client.write('GET /long HTTP/1.1\r\nHost: a\r\n\r\n');
    await until('the request', () => portico.sandbox && client.socket.bytesWritten > 0);
    const begun = performance.now();
    assert.equal((await portico.stop('SIGTERM')).code, 0);
    assert.ok(performance.now() - begun < 1500);
    sandbox.remove();
  });

  test('QUIT lets a request finish, closes idle connections at once and accepts no more', async () => {
    const port = await freePort();
    const sandbox = createSandbox();
    sandbox.write('files/long', 'x'.repeat(LONG));
    sandbox.write('files/short', 'short');
    await using portico = await startPortico({ sandbox, http: files(port), workers: 2 });
    using busy = await openClient(port);
    using idle = await openClient(port);
    assert.equal((await idle.get('/short')).body, 'short');
    const whole = busy.get('/long');
    await new Promise((resolve) => busy.socket.once('data', resolve));
    busy.socket.pause();
    portico.signal('SIGQUIT');
    await idle.ended;
    await until('the port to be closed', () => isRefused(port));
    assert.equal(portico.process.exitCode, null);
    busy.socket.resume();
    assert.equal((await whole).body.length, LONG);
    assert.equal((await portico.ended).code, 0);
    assert.match(portico.errorLog(), /gracefully shutting down/);
    sandbox.remove();
  });

  test('worker_shutdown_timeout ends a request that takes too long', async () => {
    const port = await freePort();
    const sandbox = createSandbox();
    sandbox.write('files/long', 'x'.repeat(LONG));
    await using portico = await startPortico({
      sandbox,
      http: files(port),
      main: 'worker_shutdown_timeout 300ms;',
    });
    using client = await openClient(port);
    client.write('GET /long HTTP/1.1\r\nHost: a\r\n\r\n');
    await new Promise((resolve) => client.socket.once('data', resolve));
    client.socket.pause();
    const begun = performance.now();
    assert.equal((await portico.stop('SIGQUIT')).code, 0);
    const took = performance.now() - begun;
    assert.ok(took >= 290 && took < 3000, `${took} ms`);
    sandbox.remove();
  });

  test('a second one on the same port fails as nginx does', async () => {
    const port = await freePort();
    await using first = await startPortico({ http: saying('first', port) });
    await using second = await startPortico({ http: saying('second', port), expectFailure: true });
    const { code, stderr } = await second.ended;
    assert.equal(code, 1);
    const line = `portico: [emerg] bind() to 127.0.0.1:${port} failed (98: Address already in use)\n`;
    assert.equal(stderr, `${line.repeat(5)}portico: [emerg] still could not bind()\n`);
    assert.equal((await get(port)).body, 'first');
    assert.equal(first.process.exitCode, null);
    assert.ok(
      !existsSync(second.sandbox.path('logs/portico.pid')) || second.sandbox.read('logs/portico.pid') === '',
    );
  });

  test('a bad configuration ends it with 1 and the reason', async () => {
    await using portico = await startPortico({ http: 'nonsense;', expectFailure: true });
    const { code, stderr } = await portico.ended;
    assert.equal(code, 1);
    assert.match(stderr, /^portico: \[emerg\] unknown directive "nonsense" in .*portico\.conf:\d+\n$/);
  });
});

describe('reload', () => {
  test('the next request of a connection is served by the new configuration, and the connection stays', async () => {
    const port = await freePort();
    await using portico = await startPortico({ http: saying('old', port), workers: 2 });
    using client = await openClient(port);
    assert.equal((await client.get('/')).body, 'old');
    portico.configure({ http: saying('new', port) });
    assert.equal(await portico.reload(), 'done');
    const answer = await client.get('/');
    assert.equal(answer.body, 'new');
    assert.doesNotMatch(answer.head, /connection: close/i);
    assert.equal((await client.get('/')).body, 'new');
    assert.equal(client.closed, false);
  });

  test('a bad file changes nothing and is told of in the error log', async () => {
    const port = await freePort();
    await using portico = await startPortico({ http: saying('old', port) });
    portico.configure({ http: 'nonsense;' });
    assert.equal(await portico.reload(), 'failed');
    assert.match(
      portico.errorLog(),
      /\[emerg\] \d+#\d+: unknown directive "nonsense" in .*portico\.conf:\d+\n/,
    );
    assert.equal((await get(port)).body, 'old');
    assert.equal(portico.stderr(), '');
    portico.configure({ http: saying('new', port) });
    assert.equal(await portico.reload(), 'done');
    assert.equal((await get(port)).body, 'new');
  });

  test('an address that cannot be bound changes nothing', async () => {
    const [port, taken] = await freePorts(2);
    await using other = await startPortico({ http: saying('other', taken!) });
    await using portico = await startPortico({ http: saying('old', port!) });
    portico.configure({ http: saying('new', port!, taken!) });
    assert.equal(await portico.reload(), 'failed');
    assert.match(
      portico.errorLog(),
      new RegExp(`bind\\(\\) to 127\\.0\\.0\\.1:${taken} failed \\(98: Address already in use\\)`),
    );
    assert.equal((await get(port!)).body, 'old');
    assert.equal((await get(taken!)).body, 'other');
    assert.equal(other.process.exitCode, null);
  });

  test('addresses come and go; a connection to one that goes ends with its request', async () => {
    const [stays, goes, comes] = await freePorts(3);
    const sandbox = createSandbox();
    sandbox.write('files/long', 'x'.repeat(LONG));
    await using portico = await startPortico({
      sandbox,
      http: saying('old', stays!) + files(goes!),
      workers: 2,
    });
    using busy = await openClient(goes!);
    using idle = await openClient(goes!);
    const whole = busy.get('/long');
    await new Promise((resolve) => busy.socket.once('data', resolve));
    busy.socket.pause();
    portico.configure({ http: saying('new', stays!, comes!) });
    assert.equal(await portico.reload(), 'done');
    await idle.ended;
    await until('the old port to be closed', () => isRefused(goes!));
    assert.equal((await get(comes!)).body, 'new');
    assert.equal((await get(stays!)).body, 'new');
    busy.socket.resume();
    assert.equal((await whole).body.length, LONG);
    await busy.ended;
    sandbox.remove();
  });

  test('worker_processes can grow and shrink', async () => {
    const port = await freePort();
    await using portico = await startPortico({ http: saying('1', port), workers: 1 });
    portico.configure({ http: saying('3', port), workers: 3 });
    assert.equal(await portico.reload(), 'done');
    await portico.logged('start worker 2 ');
    for (let count = 0; count < 20; count++) assert.equal((await get(port)).body, '3');
    portico.configure({ http: saying('1 again', port), workers: 1 });
    assert.equal(await portico.reload(), 'done');
    await portico.logged(/worker 1 .* exited/);
    await portico.logged(/worker 2 .* exited/);
    for (let count = 0; count < 20; count++) assert.equal((await get(port)).body, '1 again');
  });

  test('the pid file and the error log can move', async () => {
    const port = await freePort();
    const sandbox = createSandbox();
    await using portico = await startPortico({ sandbox, http: saying('x', port) });
    portico.configure({
      configuration: configurationText({ http: saying('y', port) })
        .replace('portico.pid', 'moved.pid')
        .replace('error.log', 'moved.log'),
    });
    portico.signal('SIGHUP');
    await until('the new log', () => sandbox.read('logs/moved.log').includes('configuration 2 is in use'));
    assert.equal(sandbox.read('logs/moved.pid'), `${portico.pid}\n`);
    assert.ok(!existsSync(sandbox.path('logs/portico.pid')));
    await portico.stop();
    assert.ok(!existsSync(sandbox.path('logs/moved.pid')));
    sandbox.remove();
  });

  test('a hundred reloads leave no threads, descriptors or connections behind', async () => {
    const port = await freePort();
    await using portico = await startPortico({ http: saying('0', port), workers: 2, level: 'notice' });
    using client = await openClient(port);
    const count = () => ({
      threads: /Threads:\s+(\d+)/.exec(readFileSync(`/proc/${portico.pid}/status`, 'latin1'))?.[1],
    });
    await client.get('/');
    const before = count();
    for (let number = 1; number <= 100; number++) {
      portico.configure({ http: saying(String(number), port) });
      assert.equal(await portico.reload(), 'done');
      assert.equal((await client.get('/')).body, String(number));
    }
    assert.deepEqual(count(), before);
    assert.equal(client.closed, false);
  });
});

describe('other signals', () => {
  test('USR1 opens the logs again', async () => {
    const port = await freePort();
    await using portico = await startPortico({ http: saying('x', port) });
    const { sandbox } = portico;
    renameSync(sandbox.path('logs/error.log'), sandbox.path('logs/old.log'));
    portico.signal('SIGUSR1');
    await until('a new log', () => existsSync(sandbox.path('logs/error.log')));
    assert.equal(await portico.reload(), 'done');
    assert.match(sandbox.read('logs/old.log'), /signal 10 \(SIGUSR1\) received, reopening logs\n/);
    assert.equal(portico.stderr(), '');
  });

  test('USR2 says that it cannot be done and how it can; WINCH does nothing in the foreground', async () => {
    const port = await freePort();
    await using portico = await startPortico({ http: saying('x', port) });
    portico.signal('SIGWINCH');
    portico.signal('SIGUSR2');
    await portico.logged(/\[error\] .*the binary cannot be changed on the fly.*send QUIT/);
    assert.equal((await get(port)).body, 'x');
    assert.doesNotMatch(portico.errorLog(), /SIGWINCH/);
  });
});

describe('daemon', () => {
  test('the process that was started ends when the daemon is up; WINCH and HUP, QUIT', async () => {
    const port = await freePort();
    using sandbox = createSandbox();
    const text = configurationText({ http: saying('daemon', port) }).replace('daemon off;', '');
    sandbox.write('conf/portico.conf', text);
    const args = ['-p', sandbox.directory, '-c', 'conf/portico.conf'];
    const { code, stdout, stderr } = await runPortico(args);
    assert.deepEqual([code, stdout, stderr], [0, '', '']);
    const pid = Number(sandbox.read('logs/portico.pid'));
    try {
      assert.equal((await get(port)).body, 'daemon');
      const session = readFileSync(`/proc/${pid}/stat`, 'latin1').split(' ')[5];
      assert.equal(Number(session), pid);

      process.kill(pid, 'SIGWINCH');
      await until('the port to be closed', () => isRefused(port));
      assert.ok(existsSync(`/proc/${pid}`));
      process.kill(pid, 'SIGHUP');
      await until('the workers to be back', () =>
        sandbox.read('logs/error.log').includes('configuration 2 is in use'),
      );
      assert.equal((await get(port)).body, 'daemon');
    } finally {
      await runPortico([...args, '-s', 'quit']);
      await until('its end', () => !existsSync(`/proc/${pid}`));
    }
    assert.ok(!existsSync(sandbox.path('logs/portico.pid')));
  });

  test('what goes wrong is told by the process that was started', async () => {
    const port = await freePort();
    await using other = await startPortico({ http: saying('other', port) });
    using sandbox = createSandbox();
    sandbox.write(
      'conf/portico.conf',
      configurationText({ http: saying('x', port) }).replace('daemon off;', ''),
    );
    const { code, stderr } = await runPortico(['-p', sandbox.directory, '-c', 'conf/portico.conf']);
    assert.equal(code, 1);
    assert.match(stderr, /portico: \[emerg\] still could not bind\(\)\n$/);
    assert.equal(other.process.exitCode, null);
  });
});

describe('Unix sockets', () => {
  test('are open to everybody, replace a stale file, and are removed in the end', async () => {
    const sandbox = createSandbox();
    const path = sandbox.path('logs/socket');
    const http = saying('unix', `unix:${path}`);
    const first = await startPortico({ sandbox, http, workers: 2 });
    assert.equal(statSync(path).mode & 0o777, 0o666);
    assert.equal((await get({ path })).body, 'unix');
    first.signal('SIGKILL');
    await first.ended;
    assert.ok(existsSync(path));
    sandbox.write('logs/portico.pid', '');
    await using second = await startPortico({ sandbox, http, workers: 2 });
    assert.equal((await get({ path })).body, 'unix');
    assert.equal(await second.reload(), 'done');
    assert.equal((await get({ path })).body, 'unix');
    await second.stop('SIGQUIT');
    assert.ok(!existsSync(path));
    sandbox.remove();
  });
});
