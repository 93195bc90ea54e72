import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DirectWriter } from '../../src/event/direct-writer.ts';
import { until } from '../support/wait.ts';

/** Much more than the buffers of the system take. */
const MUCH = 16 * 1024 * 1024;

interface Ends extends AsyncDisposable {
  readonly near: Socket;
  readonly far: Socket;
  readonly writer: DirectWriter;
  /** How often the writer has said that all has been taken. */
  readonly drains: () => number;
}

/** Two ends of a connection over TCP, or a Unix socket. The far one is paused. */
async function open(path?: string): Promise<Ends> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(path === undefined ? { host: '127.0.0.1', port: 0 } : { path });
  await once(server, 'listening');
  const near = connect(path === undefined ? { port: (server.address() as AddressInfo).port } : { path });
  const [[far]] = (await Promise.all([once(server, 'connection'), once(near, 'connect')])) as [
    [Socket],
    unknown,
  ];
  near.on('error', () => {});
  far.on('error', () => {});
  let drains = 0;
  const writer = new DirectWriter(near, { onDrain: () => drains++ });
  return {
    near,
    far,
    writer,
    drains: () => drains,
    async [Symbol.asyncDispose]() {
      near.destroy();
      far.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** All that arrives until the other side ends. */
async function received(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  socket.resume();
  await once(socket, 'end');
  return text;
}

for (const kind of ['TCP', 'a Unix socket']) {
  test(`over ${kind} texts and chunks arrive in order, those through the stream among them`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'portico-direct-'));
    try {
      await using ends = await open(kind === 'TCP' ? undefined : join(directory, 'socket'));
      const { near, far, writer } = ends;
      assert.ok(writer.writeText('one \xe9 '));
      assert.ok(writer.writeBuffer(Buffer.from('two ')));
      near.write('three ');
      assert.ok(writer.writeAround('four ', Buffer.from('five '), ''));
      assert.ok(writer.writeAround('six ', Buffer.from('seven '), 'eight'));
      assert.equal(writer.waiting, 0);
      near.end();
      assert.equal(await received(far), 'one \xe9 two three four five six seven eight');
      assert.equal(ends.drains(), 0);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}

test('what the system does not take waits, is counted, and is told of when it has been taken', async () => {
  await using ends = await open();
  const { near, far, writer } = ends;
  const chunk = Buffer.alloc(MUCH, 'a');
  assert.ok(writer.writeAround('<', chunk, '>'));
  assert.equal(writer.waiting, MUCH + 2);
  // Nothing goes past it.
  assert.equal(writer.writeText('b'), false);
  assert.equal(writer.writeBuffer(Buffer.from('b')), false);
  assert.equal(writer.writeAround('b', Buffer.from('b'), ''), false);
  near.write('through the stream');
  const all = received(far);
  await until('all to be taken', () => writer.waiting === 0 && near.writableLength === 0);
  assert.ok(writer.writeText('!'));
  near.end();
  const text = await all;
  assert.equal(text.length, MUCH + 2 + 'through the stream!'.length);
  assert.ok(text.endsWith('a>through the stream!'));
});

test('it is told of once for each time that something has waited', async () => {
  await using ends = await open();
  const { near, far, writer } = ends;
  const all = received(far);
  for (let round = 1; round <= 3; round++) {
    assert.ok(writer.writeBuffer(Buffer.alloc(MUCH)));
    assert.ok(writer.waiting > 0);
    await until('it to be taken', () => ends.drains() === round);
    assert.equal(writer.waiting, 0);
  }
  near.end();
  assert.equal((await all).length, 3 * MUCH);
});

test('a reader that is slow can be told from one that does not read', async () => {
  await using ends = await open();
  const { near, far, writer } = ends;
  assert.ok(writer.writeBuffer(Buffer.alloc(4 * MUCH)));
  near.write('last');
  assert.equal(writer.progressed, true, 'something has begun to wait');
  // The system's buffers grow for a while.
  await until('nothing to be taken any more', () => !writer.progressed);
  const all = received(far);
  await until('more to be taken', () => writer.progressed);
  near.end();
  assert.equal((await all).length, 4 * MUCH + 4);
  assert.equal(writer.progressed, true, 'the last of it');
  assert.equal(writer.progressed, false);
});

test('a socket that ends meanwhile still delivers what waits, and closes then', async () => {
  await using ends = await open();
  const { near, far, writer } = ends;
  assert.ok(writer.writeBuffer(Buffer.alloc(MUCH)));
  near.destroySoon();
  assert.equal(writer.writeText('late'), false);
  const closed = once(near, 'close');
  assert.equal((await received(far)).length, MUCH);
  await closed;
  assert.equal(writer.waiting, 0);
});

test('a socket that is destroyed meanwhile gives the memory back, and says nothing', async () => {
  await using ends = await open();
  const { near, writer } = ends;
  assert.ok(writer.writeBuffer(Buffer.alloc(MUCH)));
  near.destroy();
  await once(near, 'close');
  assert.equal(writer.waiting, 0);
  assert.equal(ends.drains(), 0);
  assert.equal(writer.writeText('late'), false);
});

test('a client that is gone is an error of the socket, as with its own writes', async () => {
  await using ends = await open();
  const { near, far, writer } = ends;
  near.pause();
  far.resetAndDestroy();
  await once(far, 'close');
  const failed = once(near, 'error');
  await until('the system to know', () => {
    if (!near.destroyed) writer.writeText('anybody?');
    return near.destroyed;
  });
  const [error] = (await failed) as [NodeJS.ErrnoException];
  assert.match(error.code ?? '', /^(?:EPIPE|ECONNRESET)$/);
  assert.equal(error.syscall, 'write');
  assert.ok(error.errno !== undefined && error.errno < 0);
});

test('a client that goes while something waits is an error, too', async () => {
  await using ends = await open();
  const { near, far, writer } = ends;
  near.pause();
  assert.ok(writer.writeBuffer(Buffer.alloc(MUCH)));
  const failed = once(near, 'error');
  far.resetAndDestroy();
  const [error] = (await failed) as [NodeJS.ErrnoException];
  assert.match(error.code ?? '', /^(?:EPIPE|ECONNRESET)$/);
  await until('the write to be given up', () => writer.waiting === 0);
  assert.equal(ends.drains(), 0);
});

test('while the stream is corked, or text is very long, it is the stream that writes', async () => {
  await using ends = await open();
  const { near, far, writer } = ends;
  near.cork();
  assert.equal(writer.writeText('a'), false);
  near.uncork();
  assert.equal(writer.writeText('a'.repeat(16_385)), false);
  assert.ok(writer.writeText('a'.repeat(16_384)));
  near.end();
  assert.equal((await received(far)).length, 16_384);
});

test('where Node does not give its binding away, it is the stream that writes', async () => {
  const child = fork(join(import.meta.dirname, 'direct-writer-without-binding.ts'), {
    execArgv: ['--permission', '--allow-fs-read=*'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('it has said nothing')));
  const [written] = (await Promise.race([once(child, 'message'), ended])) as [boolean];
  await ended.catch(() => {});
  assert.equal(written, false);
});
