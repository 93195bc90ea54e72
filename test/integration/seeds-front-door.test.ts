/** `npm start`: config/front-door.conf with the sample backends, and what README.md says to try with it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { type Program, startProgram } from '../scripts/program.ts';
import { get, isRefused } from '../support/client.ts';
import { createSandbox, type Sandbox } from '../support/portico.ts';
import { replacePorts, shippedText } from './seeds.ts';

const START = fileURLToPath(new URL('../../scripts/start.ts', import.meta.url));

/** Starts it as `npm start` does, but for its ports and its pid file. */
async function start(
  context: TestContext,
  workers: number,
): Promise<{ program: Program; sandbox: Sandbox; port: (documented: number) => number }> {
  const sandbox = createSandbox();
  context.after(() => sandbox.remove());
  const { text, port } = await replacePorts(shippedText('front-door.conf'));
  const file = sandbox.write(
    'front-door.conf',
    text
      .replace(/^pid .*;$/m, `pid ${sandbox.path('portico.pid')};`)
      .replace(/^worker_processes .*;$/m, `worker_processes ${workers};`),
  );
  // Ended the way it asks to be, so that it ends Portico too, whatever has failed.
  context.after(async () => {
    program.process.kill('SIGTERM');
    await program.ended;
  });
  const program = startProgram(context, process.execPath, [
    ...[START, '--config', file, '--url', `http://localhost:${port(8080)}`],
    ...['--backend', `${port(3001)}`, '--backend', `${port(3002)}`],
  ]);
  await program.line(/Ctrl-C ends everything/);
  return { program, sandbox, port };
}

/** The listeners of the file, one of each engine. */
const FRONTS = { node: 8080, uws: 8090 };

/** Both backends answer, and so does Portico; WebSockets are carried. */
async function tryFront(front: number, workers: number): Promise<void> {
  const names: string[] = [];
  for (let sent = 0; sent < 20; sent++) names.push((await get(front)).body.split('\n')[0]!);
  if (workers === 1) {
    for (let index = 1; index < names.length; index++) assert.notEqual(names[index], names[index - 1]);
  }
  // `least_conn`: a worker may hear of a request before another has counted the last one as over.
  assert.deepEqual([...new Set(names)].sort(), ['Server 1', 'Server 2']);
  assert.match(
    (await get(front, '/some/path?x=1')).body,
    /^Server [12]\nGET \/some\/path\?x=1 HTTP\/1\.1\nHost: localhost\nX-Real-IP: 127\.0\.0\.1\nX-Forwarded-For: 127\.0\.0\.1\nX-Forwarded-Proto: http\n$/,
  );
  assert.equal((await get(front, '/hello')).body, 'hello from Portico\n');
  assert.match(
    (await get(front, '/status')).body,
    /^Active connections: \d+ \nserver accepts handled requests\n/,
  );

  const socket = new WebSocket(`ws://127.0.0.1:${front}/ws`);
  const [hello] = await once(socket, 'message');
  assert.match(hello.toString(), /^Server [12] echoes$/);
  socket.send('are you there');
  assert.equal((await once(socket, 'message'))[0].toString(), 'are you there');
  socket.close();
  await once(socket, 'close');
}

for (const workers of [1, 2]) {
  describe(`npm start, on ${workers} ${workers === 1 ? 'worker' : 'workers'}`, () => {
    test('does what README.md says, on each engine, and ends without a trace', async (context) => {
      const { program, sandbox, port } = await start(context, workers);
      for (const documented of Object.values(FRONTS)) await tryFront(port(documented), workers);

      // What it prints to try can be tried.
      const urls = program.lines.flatMap((line) => /^ {2}curl .*(http:\S+)/.exec(line)?.[1] ?? []);
      assert.ok(urls.length >= 3);
      for (const url of urls) {
        assert.equal((await fetch(url.replace('localhost', '127.0.0.1'))).status, 200, url);
      }
      const alarming = program.lines.filter((line) => /\[(warn|error|crit|alert|emerg)\]/.test(line));
      assert.deepEqual(alarming, []);

      const processId = Number(/kill -HUP (\d+)/.exec(await program.line(/kill -HUP/))![1]);
      process.kill(processId, 'SIGHUP');
      await program.line(/configuration \d+ is in use/);
      for (const documented of Object.values(FRONTS)) {
        assert.equal((await get(port(documented), '/hello')).status, 200);
      }

      program.process.kill('SIGINT');
      assert.equal(await program.ended, 0);
      for (const documented of [...Object.values(FRONTS), 3001, 3002])
        assert.ok(await isRefused(port(documented)));
      assert.equal(sandbox.read('portico.pid'), '');
    });
  });
}

test('README.md and npm start name the same things to try', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const script = readFileSync(START, 'utf8');
  for (const path of ['/', '/hello', '/status']) {
    assert.ok(readme.includes(`curl http://localhost:8080${path} `), path);
    assert.ok(script.includes('curl ${origin}' + path), path);
    assert.ok(shippedText('front-door.conf').includes(`curl http://localhost:8080${path} `), path);
  }
});
