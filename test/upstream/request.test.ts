import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import {
  answering,
  ask,
  closeAndCheck,
  createGroup,
  createTestRuntime,
  fetchOnce,
  listen,
  Recorder,
  SETTINGS,
  type TestServer,
  untilTurn,
} from './client.ts';

const runtime = createTestRuntime();
const servers: TestServer[] = [];
let groups = 0;

async function start(serve: (socket: Socket, number: number) => void, path?: string): Promise<TestServer> {
  const server = await listen(serve, path);
  servers.push(server);
  return server;
}

function groupOf(addresses: readonly string[], options: Parameters<typeof createGroup>[2] = {}) {
  return createGroup(runtime, addresses, { name: `group${++groups}`, ...options });
}

afterEach(() => closeAndCheck(runtime, servers));

after(() => runtime.close());

describe('a kept connection', () => {
  it('serves one request after another', async () => {
    const server = await start(
      answering((_, count) => `HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${count}`),
    );
    const group = groupOf([server.address]);
    const answers: string[] = [];
    for (let index = 0; index < 5; index++) {
      const { body, events } = await fetchOnce(group);
      answers.push(body);
      assert.deepEqual(events, [index === 0 ? 'connected' : 'reused', 'head 200', 'end']);
    }
    assert.deepEqual(answers, ['1', '2', '3', '4', '5']);
    assert.equal(server.accepted, 1);
    assert.equal(runtime.connections.idle, 1);
  });

  it('is asked at once, within start()', async () => {
    const server = await start(answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'));
    const group = groupOf([server.address]);
    await fetchOnce(group);
    const { recorder, attempts } = ask(group);
    assert.deepEqual(recorder.events, ['reused']);
    await recorder.done;
    attempts.finish('ok');
  });

  it('is closed after keepalive_requests', async () => {
    const server = await start(answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'));
    const group = groupOf([server.address], { pool: { requests: 2 } });
    for (let index = 0; index < 4; index++) await fetchOnce(group);
    assert.equal(server.accepted, 2);
  });

  it('is closed after keepalive_timeout', async () => {
    const server = await start(answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'));
    const group = groupOf([server.address], { pool: { timeout: 30 } });
    await fetchOnce(group);
    const [socket] = server.sockets;
    await once(socket, 'close');
    assert.equal(runtime.connections.used, 0);
  });

  it('is the oldest to go when the pool is full', async () => {
    const server = await start(
      answering((head) => `HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ${head.length}\r\n\r\n`),
    );
    const group = groupOf([server.address], { pool: { size: 2 } });
    const asked = [ask(group), ask(group), ask(group)];
    for (const { attempts, recorder } of asked) {
      await recorder.done;
      attempts.finish('ok');
    }
    assert.equal(runtime.connections.idle, 2);
    assert.equal(runtime.connections.used, 2);
  });

  it('is not used by another location where it is local, and is where it is not', async () => {
    const server = await start(answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'));
    const local = groupOf([server.address]);
    await fetchOnce(local);
    await fetchOnce(local, { ...SETTINGS, tag: 'other' });
    assert.equal(server.accepted, 2);
    const shared = groupOf([server.address], { pool: { local: false } });
    await fetchOnce(shared);
    await fetchOnce(shared, { ...SETTINGS, tag: 'other' });
    assert.equal(server.accepted, 3);
  });

  it('is not kept when the answer says close, or is HTTP/1.0, or has more than its length', async () => {
    const answers = [
      'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
      'HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab',
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx',
    ];
    let next = 0;
    const server = await start(answering(() => answers[next]));
    const logs: string[] = [];
    for (next = 0; next < answers.length; next++) {
      const recorder = await fetchOnce(groupOf([server.address]));
      assert.equal(recorder.events.at(-1), 'end');
      logs.push(...recorder.logs);
      assert.equal(runtime.connections.used, 0);
    }
    assert.deepEqual(logs, [
      'warn: upstream sent more data than specified in "Content-Length" header while reading upstream',
      'warn: upstream sent more data than specified in "Content-Length" header while reading upstream',
      'warn: upstream sent data after final chunk while reading upstream',
    ]);
  });

  it('is not kept when the answer came before the request was sent whole', async () => {
    const server = await start((socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n'));
    });
    const recorder = new Recorder();
    recorder.question = '';
    const { attempts, request } = ask(groupOf([server.address]), SETTINGS, recorder);
    await untilTurn(() => recorder.events.includes('connected'));
    request.write('POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc');
    await recorder.done;
    assert.deepEqual(recorder.events, ['connected', 'head 413', 'end']);
    attempts.finish('ok');
    assert.equal(runtime.connections.used, 0);
  });

  it('is closed when the server closes it, or sends what nobody asked for, while it is idle', async () => {
    const server = await start(answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'));
    const group = groupOf([server.address]);
    await fetchOnce(group);
    for (const socket of server.sockets) socket.end();
    await untilTurn(() => runtime.connections.used === 0);
    await fetchOnce(group);
    for (const socket of server.sockets) socket.write('HTTP/1.1 408 Request Timeout\r\n\r\n');
    await untilTurn(() => runtime.connections.used === 0);
    assert.equal(runtime.connections.idle, 0);
  });

  it('that turns out to be closed when it is used says so', async () => {
    const server = await start((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 204 No Content\r\n\r\n');
        socket.once('data', () => socket.destroy());
      });
    });
    const group = groupOf([server.address]);
    await fetchOnce(group);
    const { attempts, recorder } = ask(group);
    await recorder.done;
    assert.equal(recorder.failure?.stale, true);
    assert.match(recorder.failure?.message ?? '', / while reading response header from upstream$/);
    attempts.finish('failed');
    assert.equal(attempts.tries, 0);
    attempts.tries++;
    const again = new Recorder();
    const request = attempts.next(again);
    again.request = request;
    request?.start();
    await again.done;
    attempts.finish('ok');
    assert.deepEqual(again.events, ['connected', 'head 204', 'end']);
  });

  it('gives its place to a new connection when the worker has none left', async () => {
    const small = createTestRuntime(2);
    const server = await start(answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'));
    const other = await start(answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'));
    const group = createGroup(small, [server.address], { name: 'a' });
    const { attempts, recorder } = ask(group);
    const second = ask(group);
    await recorder.done;
    attempts.finish('ok');
    await second.recorder.done;
    second.attempts.finish('ok');
    assert.equal(small.connections.idle, 2);
    await fetchOnce(createGroup(small, [other.address], { name: 'b' }));
    assert.equal(small.connections.used, 2);
    small.close();
    assert.equal(small.connections.used, 0);
    assert.equal(small.connections.idle, 0);
  });

  it('is refused where the worker has no connection left, and that is no fault of the server', async () => {
    const small = createTestRuntime(0);
    const recorder = await fetchOnce(createGroup(small, ['127.0.0.1:1']));
    assert.equal(recorder.failure?.kind, 'internal');
    assert.equal(small.active(), 0);
    small.close();
  });
});

describe('an answer', () => {
  const chunked =
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Y: z\r\n\r\n5;a=b\r\nhello\r\n1\r\n \r\n6\r\nworld!\r\n0\r\n\r\n';

  it('in chunks is the same however it is cut', async () => {
    let cut = 0;
    const server = await start((socket) => {
      socket.setNoDelay(true);
      socket.on('data', () => {
        socket.write(chunked.slice(0, cut));
        setImmediate(() => setImmediate(() => socket.write(chunked.slice(cut))));
      });
    });
    const group = groupOf([server.address]);
    for (cut = 1; cut <= chunked.length; cut++) {
      const { body, events, response } = await fetchOnce(group);
      assert.equal(body, 'hello world!', `cut at ${cut}`);
      assert.deepEqual(events.slice(1), ['head 200', 'end']);
      assert.equal(response?.headers.get('x-y'), 'z');
    }
    assert.equal(server.accepted, 1);
  });

  it('in chunks is the same however it is cut and however often the receiver wants to wait', async () => {
    const pieces = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.boolean()), {
      minLength: 1,
      maxLength: 30,
    });
    let plan: [number, boolean][] = [];
    const server = await start((socket) => {
      socket.setNoDelay(true);
      socket.on('data', async () => {
        let position = 0;
        for (const [size] of plan) {
          socket.write(chunked.slice(position, position + size));
          position += size;
          await turn();
        }
        if (position < chunked.length) socket.write(chunked.slice(position));
      });
    });
    const group = groupOf([server.address]);
    await fc.assert(
      fc.asyncProperty(pieces, async (given) => {
        plan = given;
        const recorder = new Recorder();
        let number = 0;
        recorder.accept = () => {
          const [, wait] = given[number++ % given.length];
          if (wait) setImmediate(() => recorder.request?.resume());
          return !wait;
        };
        await fetchOnce(group, SETTINGS, recorder);
        assert.equal(recorder.body, 'hello world!');
        assert.deepEqual(recorder.events.slice(1), ['head 200', 'end']);
      }),
      { seed: 7, numRuns: 100 },
    );
    assert.equal(server.accepted, 1);
  });

  it('with trailers hands them over where they are wanted', async () => {
    const server = await start(
      answering(() => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n'),
    );
    const group = groupOf([server.address]);
    const kept = await fetchOnce(group, { ...SETTINGS, trailerLimit: 4096 });
    assert.equal(kept.trailers?.get('x-sum'), '7');
    const skipped = await fetchOnce(group);
    assert.equal(skipped.trailers, undefined);
    assert.equal(server.accepted, 1);
  });

  it('to HEAD has no body whatever it says', async () => {
    const server = await start(answering(() => 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'));
    const group = groupOf([server.address]);
    const { events } = await fetchOnce(group, SETTINGS, new Recorder(), (attempts) => {
      attempts.headOnly = true;
    });
    assert.deepEqual(events, ['connected', 'head 200', 'end']);
    assert.equal(runtime.connections.idle, 1);
  });

  it('without a length ends with the connection', async () => {
    const server = await start((socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\nall of it'));
    });
    const { body, events } = await fetchOnce(groupOf([server.address]));
    assert.equal(body, 'all of it');
    assert.deepEqual(events, ['connected', 'head 200', 'end']);
  });

  it('without a status line is all body', async () => {
    const server = await start((socket) => {
      socket.once('data', () => {
        socket.write('ol');
        setImmediate(() => socket.end('d style\n'));
      });
    });
    const { body, events, logs } = await fetchOnce(groupOf([server.address]));
    assert.equal(body, 'old style\n');
    assert.deepEqual(events, ['connected', 'head 200', 'end']);
    assert.deepEqual(logs, [
      'error: upstream sent no valid HTTP/1.0 header while reading response header from upstream',
    ]);
  });

  it('may be preceded by early hints, and 100 is dropped', async () => {
    const server = await start(
      answering(
        () =>
          'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
      ),
    );
    const { interims, events } = await fetchOnce(groupOf([server.address]));
    assert.deepEqual(interims, [103]);
    assert.deepEqual(events, ['connected', 'head 204', 'end']);
  });

  const broken: [string, string, string, string][] = [
    [
      'nothing',
      '',
      'error',
      'upstream prematurely closed connection while reading response header from upstream',
    ],
    [
      'half a head',
      'HTTP/1.1 200 OK\r\nA: b',
      'error',
      'upstream prematurely closed connection while reading response header from upstream',
    ],
    [
      'half a body',
      'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf',
      'error',
      'upstream prematurely closed connection while reading upstream',
    ],
    [
      'no last chunk',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n',
      'error',
      'upstream prematurely closed connection while reading upstream',
    ],
    [
      'a chunk that is none',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz',
      'error',
      'upstream sent invalid chunked response while reading upstream',
    ],
    [
      'two lengths',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na',
      'invalid_header',
      'upstream sent duplicate header line: "Content-Length: 1", previous value: "Content-Length: 1" while reading response header from upstream',
    ],
    [
      'a head too big',
      `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(5000)}\r\n\r\n`,
      'invalid_header',
      'upstream sent too big header while reading response header from upstream',
    ],
  ];
  for (const [what, text, kind, message] of broken) {
    it(`with ${what} fails in nginx's words`, async () => {
      const server = await start((socket) => {
        socket.once('data', () => socket.end(text));
      });
      const { failure } = await fetchOnce(groupOf([server.address]));
      assert.deepEqual([failure?.kind, failure?.message, failure?.stale], [kind, message, false]);
    });
  }

  it('that is reset fails as recv()', async () => {
    const server = await start((socket) => {
      socket.once('data', () => socket.resetAndDestroy());
    });
    const { failure } = await fetchOnce(groupOf([server.address]));
    assert.equal(
      failure?.message,
      'recv() failed (104: Connection reset by peer) while reading response header from upstream',
    );
    assert.equal(failure?.level, 'error');
  });

  it('is counted in bytes and in milliseconds', async () => {
    const text = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
    const server = await start(answering(() => text));
    const { recorder, request, attempts } = ask(groupOf([server.address]));
    assert.equal(request.connectTime, -1);
    await recorder.done;
    assert.equal(request.bytesReceived, text.length);
    assert.equal(request.bytesSent, recorder.question.length);
    assert.equal(request.responseLength, 5);
    assert.ok(request.connectTime >= 0 && request.headerTime >= request.connectTime);
    const whole = request.responseTime;
    assert.ok(whole >= request.headerTime);
    await turn();
    assert.equal(request.responseTime, whole);
    attempts.finish('ok');
  });
});

describe('a receiver', () => {
  it('that is slow makes the server wait, and memory stays bounded', async () => {
    const size = 64 * 1024 * 1024;
    let sent = 0;
    const server = await start((socket) => {
      const block = Buffer.alloc(65_536, 97);
      const send = (): void => {
        let room = true;
        for (; room && sent < size; sent += block.length) room = socket.write(block);
      };
      socket.on('drain', send);
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        send();
      });
    });
    const recorder = new Recorder();
    let received = 0;
    let waiting: Buffer | undefined;
    recorder.data = (buffer, start, end) => {
      received += end - start;
      waiting = buffer.subarray(start, end);
      return false;
    };
    const { attempts, request } = ask(groupOf([server.address]), SETTINGS, recorder);
    await untilTurn(() => waiting !== undefined);
    for (let turns = 0; turns < 2000; turns++) await turn();
    assert.ok(received <= 65_536, `${received} bytes handed over without being asked for`);
    assert.ok(sent < size / 2, `the server could send ${sent} bytes`);
    // What is lent stays as it is however much comes meanwhile.
    const before = Buffer.from(waiting!);
    for (let turns = 0; turns < 100; turns++) await turn();
    assert.deepEqual(waiting, before);
    const pump = async () => {
      while (!request.over) {
        if (waiting !== undefined) {
          waiting = undefined;
          request.resume();
        }
        await turn();
      }
    };
    await Promise.all([pump(), recorder.done]);
    assert.equal(received, size);
    attempts.finish('ok');
  });

  it('may still use the last piece when the connection already serves another request', async () => {
    const server = await start(
      answering((_, count) => `HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n${String(count).repeat(5)}`),
    );
    const group = groupOf([server.address]);
    const first = new Recorder();
    let lent: Buffer | undefined;
    first.data = (buffer, start, end) => {
      lent = buffer.subarray(start, end);
      return false;
    };
    const { request, attempts } = ask(group, SETTINGS, first);
    await first.done;
    attempts.finish('ok');
    const second = await fetchOnce(group);
    assert.deepEqual(second.events, ['reused', 'head 200', 'end']);
    assert.equal(second.body, '22222');
    assert.equal(lent?.toString(), '11111');
    request.resume();
    assert.equal(server.accepted, 1);
  });

  it('may keep a piece and read on', async () => {
    const server = await start(
      answering(
        () => `HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n${'a'.repeat(250_000)}${'b'.repeat(250_000)}`,
      ),
    );
    const recorder = new Recorder();
    const kept: Buffer[] = [];
    recorder.accept = (chunk) => {
      kept.push(chunk);
      setImmediate(() => recorder.request?.resumeKeeping());
      return false;
    };
    await fetchOnce(groupOf([server.address]), SETTINGS, recorder);
    assert.equal(recorder.body.length, 500_000);
    assert.equal(Buffer.concat(kept).toString('latin1'), recorder.body);
  });

  it('may pause and resume whenever it likes', async () => {
    const server = await start(
      answering(() => `HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n${'x'.repeat(200_000)}`),
    );
    const group = groupOf([server.address]);
    const recorder = new Recorder();
    recorder.onHead = () => {
      recorder.request?.pause();
      recorder.request?.resume();
      recorder.request?.pause();
    };
    const { request, attempts } = ask(group, SETTINGS, recorder);
    await untilTurn(() => recorder.response !== undefined);
    for (let turns = 0; turns < 100; turns++) await turn();
    assert.equal(recorder.body, '');
    request.resume();
    await recorder.done;
    attempts.finish('ok');
    assert.equal(recorder.body.length, 200_000);
    assert.equal(runtime.connections.idle, 1);
  });

  it('that gives up closes the connection and hears nothing more', async () => {
    const server = await start((socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'));
    });
    const recorder = new Recorder();
    const { attempts } = ask(groupOf([server.address]), SETTINGS, recorder);
    await untilTurn(() => recorder.body === 'abc');
    const [socket] = server.sockets;
    attempts.close();
    attempts.close();
    await once(socket, 'end');
    assert.deepEqual(recorder.events, ['connected', 'head 200']);
  });
});

describe('a server', () => {
  it('that refuses is said so as nginx says it', async () => {
    const server = await start(() => {});
    await server.close();
    const { failure } = await fetchOnce(groupOf([server.address]));
    assert.deepEqual(
      [failure?.kind, failure?.level, failure?.message],
      ['error', 'error', 'connect() failed (111: Connection refused) while connecting to upstream'],
    );
  });

  it('on a Unix socket is reached, and when there is none, named', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'portico-'));
    try {
      const server = await start(
        answering(() => 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix'),
        join(directory, 'a.sock'),
      );
      const group = groupOf([server.address]);
      assert.equal((await fetchOnce(group)).body, 'unix');
      assert.deepEqual((await fetchOnce(group)).events, ['reused', 'head 200', 'end']);
      const { failure } = await fetchOnce(groupOf([`unix:${directory}/none.sock`]));
      assert.deepEqual(
        [failure?.level, failure?.message],
        [
          'crit',
          `connect() to unix:${directory}/none.sock failed (2: No such file or directory) while connecting to upstream`,
        ],
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('that never answers runs into the read timeout, and one that stops on the way too', async () => {
    const server = await start((socket, number) => {
      socket.on('data', () => {
        if (number === 2) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab');
      });
    });
    const settings = { ...SETTINGS, readTimeout: 50 };
    const silent = await fetchOnce(groupOf([server.address]), settings);
    assert.deepEqual(
      [silent.failure?.kind, silent.failure?.message],
      [
        'timeout',
        'upstream timed out (110: Connection timed out) while reading response header from upstream',
      ],
    );
    const halting = await fetchOnce(groupOf([server.address]), settings);
    assert.equal(
      halting.failure?.message,
      'upstream timed out (110: Connection timed out) while reading upstream',
    );
  });

  it('that does not read runs into the send timeout', async () => {
    const server = await start((socket) => socket.pause());
    const recorder = new Recorder();
    recorder.question = '';
    const { request, attempts } = ask(groupOf([server.address]), { ...SETTINGS, sendTimeout: 60 }, recorder);
    await untilTurn(() => recorder.events.includes('connected'));
    const block = Buffer.alloc(1024 * 1024);
    request.write(`POST / HTTP/1.1\r\nContent-Length: ${100 * block.length}\r\n\r\n`);
    let written = 0;
    while (request.write(block)) assert.ok(++written < 100);
    await recorder.done;
    assert.equal(
      recorder.failure?.message,
      'upstream timed out (110: Connection timed out) while sending request to upstream',
    );
    attempts.finish('failed');
  });

  it('that reads slowly is written to as fast as it reads', async () => {
    let length = 0;
    const total = 32 * 1024 * 1024;
    const server = await start((socket) => {
      socket.on('data', (chunk) => {
        length += chunk.length;
        if (length >= total) socket.write('HTTP/1.1 204 No Content\r\n\r\n');
      });
    });
    const recorder = new Recorder();
    recorder.question = '';
    const { request, attempts } = ask(groupOf([server.address]), SETTINGS, recorder);
    await untilTurn(() => recorder.events.includes('connected'));
    const head = `POST / HTTP/1.1\r\nContent-Length: ${total}\r\n\r\n`;
    length -= head.length;
    request.write(head);
    const block = Buffer.alloc(65_536);
    let left = total;
    let drains = 0;
    const send = () => {
      while (left > 0) {
        left -= block.length;
        if (!request.write(block)) return;
      }
      request.endRequest();
    };
    recorder.onDrain = () => {
      drains++;
      send();
    };
    send();
    await recorder.done;
    assert.ok(drains > 0);
    attempts.finish('ok');
    assert.equal(runtime.connections.idle, 1);
  });

  it('that switches protocols becomes a tunnel, half-close included', async () => {
    const server = await start((socket) => {
      let switched = false;
      socket.on('data', (chunk) => {
        if (switched) {
          socket.write(`<${chunk}>`);
          return;
        }
        switched = true;
        socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nhello');
      });
      socket.on('end', () => socket.end('bye'));
    });
    const recorder = new Recorder();
    const { request, attempts } = ask(groupOf([server.address]), SETTINGS, recorder);
    await untilTurn(() => recorder.body === 'hello');
    assert.equal(request.action, 'proxying upgraded connection');
    request.write('one');
    await untilTurn(() => recorder.body === 'hello<one>');
    request.end();
    await recorder.done;
    assert.equal(recorder.body, 'hello<one>bye');
    assert.equal(request.over, false);
    attempts.close();
    assert.equal(request.over, true);
  });
});

describe('an address to connect from', () => {
  it('is used, and one that is none is said so and left out', async () => {
    const seen: (string | undefined)[] = [];
    const server = await start((socket) => {
      seen.push(socket.remoteAddress);
      answering(() => 'HTTP/1.1 204 No Content\r\n\r\n')(socket);
    });
    const group = groupOf([server.address]);
    const bind = (address: string) =>
      fetchOnce(group, SETTINGS, new Recorder(), (attempts) => {
        attempts.localAddress = address;
      });
    await bind('127.0.0.7');
    const { logs } = await bind('nonsense');
    assert.deepEqual(seen, ['127.0.0.7', '127.0.0.1']);
    assert.deepEqual(logs, ['error: invalid local address "nonsense" while connecting to upstream']);
  });

  it('that the system does not have is no fault of the server', async () => {
    const server = await start(() => {});
    const { failure } = await fetchOnce(groupOf([server.address]), SETTINGS, new Recorder(), (attempts) => {
      attempts.localAddress = '192.0.2.1';
    });
    assert.deepEqual(
      [failure?.kind, failure?.message],
      [
        'internal',
        'bind(192.0.2.1) failed (99: Cannot assign requested address) while connecting to upstream',
      ],
    );
  });
});

describe('counts', () => {
  it('are at zero after a thousand requests that failed in every way', async () => {
    const serve = (socket: Socket): void => {
      const way = Math.floor(random() * 7);
      if (way === 0) {
        socket.destroy();
        return;
      }
      socket.on('data', () => {
        if (way === 1) socket.resetAndDestroy();
        else if (way === 2) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf');
        else if (way === 3) socket.write('nonsense');
        else if (way === 4) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        else if (way === 5) socket.end();
        else socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n');
      });
    };
    let state = 42;
    const random = (): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return state / 0x8000_0000;
    };
    const alive = [await start(serve), await start(serve)];
    const dead = await start(() => {});
    await dead.close();
    const group = groupOf([...alive.map(({ address }) => address), dead.address], {
      parameters: { maxFails: 0 },
    });
    const settings = { ...SETTINGS, readTimeout: 40 };
    const one = async (): Promise<void> => {
      const attempts = group.begin(settings, '');
      do {
        const recorder = new Recorder();
        const request = attempts.next(recorder);
        if (request === undefined) break;
        recorder.request = request;
        request.start();
        if (random() < 0.1) {
          await turn();
          attempts.close();
          break;
        }
        await recorder.done;
        attempts.finish(recorder.failure === undefined ? 'ok' : 'failed');
        if (recorder.failure === undefined) break;
      } while (attempts.tries > 0);
      attempts.close();
    };
    for (let batch = 0; batch < 20; batch++) await Promise.all(Array.from({ length: 50 }, one));
    assert.equal(runtime.active(), 0);
    assert.equal(runtime.connections.used, runtime.connections.idle);
  });

  it('say when a server is taken out of service, and nobody is left', async () => {
    const dead = [await start(() => {}), await start(() => {})];
    await Promise.all(dead.map((server) => server.close()));
    const group = groupOf(dead.map(({ address }) => address));
    const recorder = new Recorder();
    const attempts = group.begin(SETTINGS, '');
    for (let attempt = 0; attempt < 2; attempt++) {
      const request = attempts.next(recorder)!;
      recorder.request = request;
      request.start();
      await untilTurn(() => recorder.events.length > attempt);
      attempts.finish('failed');
    }
    assert.deepEqual(recorder.logs, [
      'warn: upstream server temporarily disabled while connecting to upstream',
      'warn: upstream server temporarily disabled while connecting to upstream',
    ]);
    assert.equal(attempts.next(recorder), undefined);
    assert.equal(attempts.refusal, 'no live upstreams while connecting to upstream');
  });

  it('are given back by a request that was chosen and never started', async () => {
    const group = groupOf(['127.0.0.1:1']);
    const attempts = group.begin(SETTINGS, '');
    attempts.next(new Recorder());
    assert.equal(runtime.active(), 1);
    attempts.close();
    assert.equal(runtime.active(), 0);
    assert.equal(runtime.connections.used, 0);
  });
});
