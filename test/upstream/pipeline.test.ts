/** `keepalive_pipeline`: the requests of one turn of the event loop behind each other on one connection. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, afterEach, describe, it } from 'node:test';
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import type { UpstreamAttempts, UpstreamRequest, UpstreamSettings } from '../../src/upstream/client.ts';
import type { Group } from '../../src/upstream/group.ts';
import { LONGEST_WAIT } from '../../src/upstream/line.ts';
import {
  ask,
  closeAndCheck,
  createGroup,
  createTestRuntime,
  Recorder,
  SETTINGS,
  type TestGroupOptions,
  type TestServer,
  untilTurn,
} from './client.ts';
import { type Answering, answer, type PathServer, startPathServer } from './path-server.ts';

const runtime = createTestRuntime();
const servers: TestServer[] = [];
let groups = 0;

async function start(answering: Answering): Promise<PathServer> {
  const server = await startPathServer(answering);
  servers.push(server);
  return server;
}

function groupOf(
  addresses: readonly string[],
  pipeline: number,
  options: TestGroupOptions = {},
): Group<string> {
  const pool = { pipeline, ...options.pool };
  return createGroup(runtime, addresses, { name: `line${++groups}`, ...options, pool });
}

interface Asked {
  readonly attempts: UpstreamAttempts;
  readonly recorder: Recorder;
  readonly request: UpstreamRequest;
}

/** Asks for a path, in this turn. */
function askFor(
  group: Group<string>,
  path: string,
  settings: UpstreamSettings = SETTINGS,
  recorder = new Recorder(),
): Asked {
  const method = path.startsWith('/head') ? 'HEAD' : 'GET';
  recorder.question = `${method} ${path} HTTP/1.1\r\nHost: test\r\n\r\n`;
  return ask(group, settings, recorder, (attempts) => {
    attempts.headOnly = method === 'HEAD';
    attempts.sharing = true;
  });
}

async function finish(asked: readonly Asked[]): Promise<void> {
  for (const { recorder, attempts } of asked) {
    await recorder.done;
    attempts.finish(recorder.failure === undefined ? 'ok' : recorder.failure.behind ? 'next' : 'failed');
  }
}

const bodies = (asked: readonly Asked[]): string[] => asked.map(({ recorder }) => recorder.body);
const failures = (asked: readonly Asked[]) => asked.map(({ recorder }) => recorder.failure?.kind);

/** An answer with the path as its body. */
const echo: Answering = (path) => answer(path);

afterEach(() => closeAndCheck(runtime, servers));

after(() => runtime.close());

describe('requests of one turn', () => {
  it('are written at once, and answered in order, on a new connection and on a kept one', async () => {
    const server = await start(echo);
    const group = groupOf([server.address], 8);
    for (const letter of ['a', 'b']) {
      const asked = [1, 2, 3, 4].map((number) => askFor(group, `/${letter}${number}`));
      assert.equal(runtime.active(), 4);
      await finish(asked);
      assert.deepEqual(
        bodies(asked),
        [1, 2, 3, 4].map((number) => `/${letter}${number}`),
      );
      const reused = letter === 'a' ? 'connected' : 'reused';
      for (const { recorder } of asked) assert.deepEqual(recorder.events, [reused, 'head 200', 'end']);
    }
    assert.deepEqual(server.chunks, ['1: /a1 /a2 /a3 /a4', '1: /b1 /b2 /b3 /b4']);
    assert.equal(runtime.connections.idle, 1);
  });

  it('are at most as many on a connection as the directive says', async () => {
    const server = await start(echo);
    const group = groupOf([server.address], 4);
    const asked = Array.from({ length: 10 }, (_, number) => askFor(group, `/${number}`));
    await finish(asked);
    assert.deepEqual(
      bodies(asked),
      Array.from('0123456789', (digit) => `/${digit}`),
    );
    assert.deepEqual(server.chunks.toSorted(), ['1: /0 /1 /2 /3', '2: /4 /5 /6 /7', '3: /8 /9']);
  });

  it('obey keepalive_requests together', async () => {
    const server = await start(echo);
    const group = groupOf([server.address], 8, { pool: { requests: 3 } });
    const asked = Array.from({ length: 5 }, (_, number) => askFor(group, `/${number}`));
    await finish(asked);
    assert.deepEqual(server.chunks.toSorted(), ['1: /0 /1 /2', '2: /3 /4']);
    assert.equal(runtime.connections.used, 1);
  });

  it('share a connection only where one connection would do for both', async () => {
    const server = await start(echo);
    const group = groupOf([server.address], 8);
    const other = { ...SETTINGS, tag: 'other' };
    const asked = ['/a', '/b', '/c', '/d'].map((path, index) =>
      askFor(group, path, index % 2 === 0 ? SETTINGS : other),
    );
    await finish(asked);
    assert.deepEqual(server.chunks.toSorted(), ['1: /a /c', '2: /b /d']);
    const shared = groupOf([server.address], 8, { pool: { local: false } });
    const together = ['/e', '/f'].map((path, index) => askFor(shared, path, index === 0 ? SETTINGS : other));
    await finish(together);
    assert.equal(server.chunks.at(-1), '3: /e /f');
  });

  it('do not share with one that may not', async () => {
    const server = await start(echo);
    const group = groupOf([server.address], 8);
    const recorder = new Recorder();
    recorder.question = 'GET /alone HTTP/1.1\r\n\r\n';
    const alone = ask(group, SETTINGS, recorder);
    await finish([alone, askFor(group, '/a'), askFor(group, '/b')]);
    assert.deepEqual(server.chunks.toSorted(), ['1: /alone', '2: /a /b']);
  });

  it('may be answered without a body, in chunks, or with a length, in any order', async () => {
    const kinds: Record<string, string> = {
      head: 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n',
      no: 'HTTP/1.1 204 No Content\r\n\r\n',
      same: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n',
      empty: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      chunked: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
      length: 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxyz',
      early: 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!',
    };
    const server = await start((path) => kinds[path.slice(1).split('-')[0]]);
    const group = groupOf([server.address], 16);
    const names = ['head', 'no', 'length', 'chunked', 'same', 'empty', 'early', 'chunked', 'head', 'length'];
    const asked = names.map((name) => askFor(group, `/${name}`));
    await finish(asked);
    const expected: Record<string, string> = { chunked: 'abcde', length: 'xyz', early: '!' };
    assert.deepEqual(
      bodies(asked),
      names.map((name) => expected[name] ?? ''),
    );
    assert.deepEqual(
      asked.map(({ recorder }) => recorder.response?.status),
      names.map((name) => ({ no: 204, same: 304 })[name] ?? 200),
    );
    assert.deepEqual(asked[6].recorder.interims, [103]);
    // What was received is counted for the request it was received for.
    assert.deepEqual(
      asked.map(({ request }) => request.bytesReceived),
      names.map((name) => kinds[name].length),
    );
    for (const { request, recorder } of asked) assert.equal(request.bytesSent, recorder.question.length);
    assert.equal(server.accepted, 1);
    assert.equal(runtime.connections.idle, 1);
  });

  it('get the same answers however these are cut, and however often a receiver wants to wait', async () => {
    let script: { text: string; cuts: number[] } = { text: '', cuts: [] };
    let come = 0;
    let wanted = 0;
    const server = await start(async (_, socket) => {
      if (++come < wanted) return;
      const { text, cuts } = script;
      let position = 0;
      for (const size of cuts) {
        if (position >= text.length) break;
        socket.write(text.slice(position, position + size), 'latin1');
        position += size;
        await turn();
      }
      socket.write(text.slice(position), 'latin1');
    });
    const group = groupOf([server.address], 16, { pool: { requests: 1_000_000 } });
    const kind = fc.constantFrom('length', 'chunked', 'empty', 'none', 'head');
    const plan = fc.record({
      answers: fc.array(fc.tuple(kind, fc.integer({ min: 1, max: 300 }), fc.array(fc.boolean())), {
        minLength: 1,
        maxLength: 8,
      }),
      cuts: fc.array(fc.integer({ min: 1, max: 120 }), { maxLength: 30 }),
    });
    await fc.assert(
      fc.asyncProperty(plan, async ({ answers, cuts }) => {
        const sent = answers.map(([name, size], index) => answerOf(name, size, index));
        script = { text: sent.map(({ text }) => text).join(''), cuts };
        come = 0;
        wanted = answers.length;
        const lent: { chunk: Buffer; copy: string }[] = [];
        const asked = answers.map(([name, , waits], index) => {
          const recorder = new Recorder();
          let number = 0;
          recorder.accept = (chunk) => {
            if (waits[number++ % Math.max(1, waits.length)] !== true) return true;
            const piece = { chunk, copy: chunk.toString('latin1') };
            lent.push(piece);
            setImmediate(() => {
              assert.equal(piece.chunk.toString('latin1'), piece.copy, 'a lent piece was written to');
              recorder.request?.resume();
            });
            return false;
          };
          return askFor(group, `/${name === 'head' ? 'head' : 'x'}${index}`, SETTINGS, recorder);
        });
        await finish(asked);
        assert.deepEqual(
          bodies(asked),
          sent.map(({ body }) => body),
        );
        assert.deepEqual(
          asked.map(({ request }) => request.bytesReceived),
          sent.map(({ text }) => text.length),
        );
        // Whoever held on to the last piece gives it back after the end.
        await turn();
      }),
      { seed: 11, numRuns: 300 },
    );
    assert.equal(server.accepted, 1);
  });
});

/** An answer of a kind. */
function answerOf(kind: string, size: number, index: number): { text: string; body: string } {
  const body = String.fromCharCode(97 + index).repeat(size);
  switch (kind) {
    case 'length':
      return { text: answer(body), body };
    case 'chunked': {
      const half = Math.ceil(size / 2);
      let text = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
      for (const piece of [body.slice(0, half), body.slice(half)]) {
        if (piece !== '') text += `${piece.length.toString(16)}\r\n${piece}\r\n`;
      }
      return { text: `${text}0\r\n\r\n`, body };
    }
    case 'empty':
      return { text: answer(''), body: '' };
    case 'none':
      return { text: 'HTTP/1.1 204 No Content\r\n\r\n', body: '' };
    default:
      return { text: `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`, body: '' };
  }
}

describe('a slow answer', () => {
  it('gets nothing behind it from a later turn: that takes a free connection, or a new one', async () => {
    const held: Socket[] = [];
    const server = await start((path, socket) => {
      if (!path.startsWith('/slow')) return answer(path);
      held.push(socket);
      return undefined;
    });
    const group = groupOf([server.address], 8);
    const slow = [askFor(group, '/slow')];
    await untilTurn(() => held.length === 1);
    await finish([askFor(group, '/a'), askFor(group, '/b')]);
    await finish([askFor(group, '/c'), askFor(group, '/d')]);
    assert.deepEqual(server.chunks, ['1: /slow', '2: /a /b', '2: /c /d']);
    held[0].write(answer('late'));
    await finish(slow);
    assert.equal(runtime.connections.idle, 2);
  });

  it('is followed by requests of a later turn where the worker may open no further connection', async () => {
    const small = createTestRuntime(1);
    let held: Socket | undefined;
    const server = await start((path, socket) => {
      if (path !== '/slow') return answer(path);
      held = socket;
      return undefined;
    });
    const group = createGroup(small, [server.address], { pool: { pipeline: 3 } });
    const slow = askFor(group, '/slow');
    await untilTurn(() => held !== undefined);
    const others = ['/a', '/b', '/c'].map((path) => askFor(group, path));
    await untilTurn(() => others[2].recorder.failure !== undefined);
    // Three at most, and then nothing is left.
    assert.deepEqual(failures(others), [undefined, undefined, 'internal']);
    await untilTurn(() => server.paths.length === 3);
    assert.deepEqual(bodies(others), ['', '', '']);
    held!.write(answer('late'));
    // The server answers at once what has come meanwhile: behind the slow answer, in order.
    await finish([slow, ...others]);
    assert.deepEqual(bodies([slow, ...others]), ['/a', '/b', 'late', '']);
    small.close();
    assert.equal(small.connections.used, 0);
    assert.equal(small.active(), 0);
  });

  it('makes those of its own turn wait only so long, and the server gets no lines for a while', async () => {
    const held: Socket[] = [];
    const server = await start((path, socket, connection) => {
      if (connection > 1) return answer(path);
      held.push(socket);
      return undefined;
    });
    const group = groupOf([server.address], 8);
    const before = performance.now();
    const [slow, ...others] = ['/slow', '/a', '/b'].map((path) => askFor(group, path));
    await finish(others);
    const waited = performance.now() - before;
    assert.ok(waited >= LONGEST_WAIT && waited < LONGEST_WAIT + 800, `${waited} ms`);
    assert.deepEqual(bodies(others), ['/a', '/b']);
    assert.deepEqual(failures(others), [undefined, undefined]);
    assert.equal(slow.request.over, false);
    // As if it had been alone: what comes for the others is nothing to it.
    held[0].write(answer('late') + answer('for nobody'));
    await finish([slow]);
    assert.equal(slow.recorder.body, 'late');
    assert.deepEqual(slow.recorder.logs, []);
    await finish(['/c', '/d'].map((path) => askFor(group, path)));
    assert.deepEqual(
      server.chunks.slice(1).map((chunk) => chunk.slice(3)),
      ['/a', '/b', '/c', '/d'],
    );
  });

  it('has its own time, which begins when those before it are complete', async () => {
    const server = await start(async (path, socket) => {
      await pause(300 * Number(path.slice(1)));
      socket.write(answer(path));
    });
    const settings = { ...SETTINGS, readTimeout: 480 };
    const apart = askFor(groupOf([server.address], 8), '/2', settings);
    const group = groupOf([server.address], 8);
    const together = ['/1', '/2'].map((path) => askFor(group, path, settings));
    await finish([apart, ...together]);
    assert.deepEqual(failures([apart, ...together]), ['timeout', undefined, undefined]);
    const times = together.map(({ request }) => request.headerTime);
    assert.ok(times[0] >= 299 && times[1] >= 599, times.join());
  });

  it('that runs into the read timeout takes those behind it along, who hear that it is not their fault', async () => {
    const server = await start((path) => (path === '/silent' ? undefined : answer(path)));
    const group = groupOf([server.address], 8);
    const settings = { ...SETTINGS, readTimeout: 60 };
    const held = await start(() => undefined);
    const silent = groupOf([held.address], 8);
    const asked = ['/silent', '/a'].map((path) => askFor(silent, path, settings));
    await finish(asked);
    assert.deepEqual(failures(asked), ['timeout', 'error']);
    assert.deepEqual(
      asked.map(({ recorder }) => recorder.failure!.behind),
      [false, true],
    );
    await finish([askFor(group, '/a')]);
  });
});

describe('a connection that ends', () => {
  it('after an answer that says so has the others sent again, to the same server', async () => {
    for (const last of ['Connection: close\r\n', 'HTTP/1.0']) {
      const server = await start((path, socket, connection) => {
        if (path !== '/b' || connection > 1) return answer(path);
        const text = answer(path, last === 'HTTP/1.0' ? '' : last);
        socket.end(last === 'HTTP/1.0' ? text.replace('HTTP/1.1', last) : text);
        return undefined;
      });
      const group = groupOf([server.address], 8);
      const asked = ['/a', '/b', '/c', '/d'].map((path) => askFor(group, path));
      await finish(asked);
      assert.deepEqual(bodies(asked), ['/a', '/b', '/c', '/d']);
      assert.deepEqual(failures(asked), [undefined, undefined, undefined, undefined]);
      // Alone each, so that it cannot happen to them again.
      assert.deepEqual(server.chunks.toSorted(), ['1: /a /b /c /d', '2: /c', '3: /d']);
      assert.deepEqual(asked[2].recorder.events, ['connected', 'connected', 'head 200', 'end']);
      // What was in vain is not counted.
      for (const { request, recorder } of asked) assert.equal(request.bytesSent, recorder.question.length);
    }
  });

  it('with its first answer is not begun with several requests for a while', async () => {
    const server = await start((path, socket) => {
      socket.end(answer(path, 'Connection: close\r\n'));
      return undefined;
    });
    const group = groupOf([server.address], 8);
    await finish(['/a', '/b', '/c'].map((path) => askFor(group, path)));
    await finish(['/d', '/e'].map((path) => askFor(group, path)));
    assert.deepEqual(server.chunks.toSorted(), ['1: /a /b /c', '2: /b', '3: /c', '4: /d', '5: /e']);
  });

  it('after an answer that goes on until then has the others sent again at once', async () => {
    const open: Socket[] = [];
    const server = await start((path, socket) => {
      if (path !== '/long') return answer(path);
      open.push(socket);
      return 'HTTP/1.1 200 OK\r\n\r\nfirst';
    });
    const group = groupOf([server.address], 8);
    const [long, other] = ['/long', '/a'].map((path) => askFor(group, path));
    // The answer to the second is part of the first one's body, as far as anybody can tell.
    await finish([other]);
    assert.equal(other.recorder.body, '/a');
    assert.equal(long.request.over, false);
    open[0].end();
    await finish([long]);
    assert.ok(long.recorder.body.startsWith('first'));
  });

  it('between two answers, without a word, is no fault of the server', async () => {
    for (const ending of ['end', 'reset'] as const) {
      const server = await start((path, socket, connection) => {
        if (connection > 1) return answer(path);
        if (path === '/a') return answer(path);
        if (path === '/b') ending === 'end' ? socket.end() : setTimeout(() => socket.resetAndDestroy(), 20);
        return undefined;
      });
      const group = groupOf([server.address], 8);
      const asked = ['/a', '/b', '/c'].map((path) => askFor(group, path));
      await finish(asked);
      assert.deepEqual(bodies(asked), ['/a', '/b', '/c'], ending);
      assert.deepEqual(failures(asked), [undefined, undefined, undefined], ending);
    }
  });

  it('in the middle of an answer fails that one, and those behind it hear that it is not their fault', async () => {
    const broken: [string, (socket: Socket) => void, string][] = [
      ['half a body', (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'), 'error'],
      ['half a head', (socket) => socket.end('HTTP/1.1 200 OK\r\nCont'), 'error'],
      [
        'no valid head',
        (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n'),
        'invalid_header',
      ],
      [
        'no valid chunk',
        (socket) => socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx'),
        'error',
      ],
    ];
    for (const [what, breakOff, kind] of broken) {
      const server = await start((path, socket) => {
        if (path === '/a') return answer(path);
        if (path === '/b') breakOff(socket);
        return undefined;
      });
      const group = groupOf([server.address], 8);
      const asked = ['/a', '/b', '/c', '/d'].map((path) => askFor(group, path));
      await finish(asked);
      assert.deepEqual(failures(asked), [undefined, kind, 'error', 'error'], what);
      assert.deepEqual(
        asked.slice(1).map(({ recorder }) => [recorder.failure!.behind, recorder.failure!.stale]),
        [
          [false, false],
          [true, true],
          [true, true],
        ],
      );
    }
  });

  it('before anything has come, having been kept, was closed by the server while it was idle', async () => {
    let first = true;
    const server = await start((path, socket) => {
      if (first) {
        first = false;
        return answer(path);
      }
      socket.destroy();
      return undefined;
    });
    const group = groupOf([server.address], 8);
    await finish([askFor(group, '/a')]);
    const asked = ['/b', '/c'].map((path) => askFor(group, path));
    await finish(asked);
    assert.deepEqual(
      asked.map(({ recorder }) => [recorder.failure!.stale, recorder.failure!.behind]),
      [
        [true, false],
        [true, true],
      ],
    );
    // Each attempt may be made again, and then goes alone.
    for (const { attempts } of asked) attempts.tries++;
  });

  it('because it could not be made fails for all of them alike', async () => {
    const server = await start(echo);
    await server.close();
    const group = groupOf([server.address], 8);
    const asked = ['/a', '/b'].map((path) => askFor(group, path));
    await finish(asked);
    for (const { recorder } of asked) {
      assert.deepEqual(
        [recorder.failure?.message, recorder.failure?.stale, recorder.failure?.behind],
        ['connect() failed (111: Connection refused) while connecting to upstream', false, false],
      );
    }
    const small = createTestRuntime(0);
    const none = ['/a', '/b'].map((path) =>
      askFor(createGroup(small, [server.address], { pool: { pipeline: 2 } }), path),
    );
    await finish(none);
    assert.deepEqual(failures(none), ['internal', 'internal']);
    small.close();
  });
});

describe('a request that is given up', () => {
  it('before the turn is over is never sent', async () => {
    const server = await start(echo);
    const group = groupOf([server.address], 8);
    const asked = ['/a', '/b', '/c'].map((path) => askFor(group, path));
    asked[0].attempts.close();
    asked[1].attempts.close();
    await finish([asked[2]]);
    assert.deepEqual(server.chunks, ['1: /c']);
    const none = ['/d', '/e'].map((path) => askFor(group, path));
    for (const { attempts } of none) attempts.close();
    await turn();
    assert.deepEqual(server.chunks, ['1: /c']);
  });

  it('before the connection stands is not sent either', async () => {
    const server = await start(echo);
    const group = groupOf([server.address], 8);
    for (const given of [[0], [1], [2], [0, 1], [1, 2], [0, 2], [0, 1, 2]]) {
      const asked = ['/a', '/b', '/c'].map((path) => askFor(group, path));
      const idle = runtime.connections.idle;
      if (idle > 0)
        for (const thing of runtime.kept.values()) (thing as unknown as { close(): void }).close();
      // After the turn's end, before the connection.
      setImmediate(() => {
        for (const index of given) asked[index].attempts.close();
      });
      await turn();
      await turn();
      const left = asked.filter((_, index) => !given.includes(index));
      await finish(left);
      assert.deepEqual(
        bodies(left),
        ['/a', '/b', '/c'].filter((_, index) => !given.includes(index)),
      );
    }
  });

  it('has its answer read past, before it has begun and in its middle', async () => {
    const open: Socket[] = [];
    const server = await start((_, socket) => {
      open.push(socket);
      return undefined;
    });
    const group = groupOf([server.address], 8);
    const asked = ['/a', '/b', '/c', '/d', '/e'].map((path) => askFor(group, path));
    await untilTurn(() => open.length === 5);
    const [socket] = open;
    asked[0].attempts.close();
    asked[3].attempts.close();
    socket.write(answer('a') + answer('bbbb').slice(0, -2));
    await untilTurn(() => asked[1].recorder.body === 'bb');
    asked[1].attempts.close();
    socket.write(`bb${answer('c')}${answer('d')}${answer('e')}`);
    await finish([asked[2], asked[4]]);
    assert.deepEqual(bodies(asked), ['', 'bb', 'c', '', 'e']);
    assert.equal(server.accepted, 1);
    assert.equal(runtime.connections.idle, 1);
  });

  it('with a long answer has those behind it sent again', async () => {
    for (const lines of ['Content-Length: 1000000\r\n', 'Transfer-Encoding: chunked\r\n']) {
      const server = await start((path, _, connection) => {
        if (connection > 1) return answer(path);
        if (path !== '/long') return undefined;
        const start = lines.startsWith('T') ? '30d40\r\n' : '';
        return `HTTP/1.1 200 OK\r\n${lines}\r\n${start}${'x'.repeat(1000)}`;
      });
      const group = groupOf([server.address], 8);
      const [long, other] = ['/long', '/a'].map((path) => askFor(group, path));
      await untilTurn(() => long.recorder.body.length === 1000);
      long.attempts.close();
      if (lines.startsWith('T')) for (const socket of server.sockets) socket.write('x'.repeat(199_000));
      await finish([other]);
      assert.equal(other.recorder.body, '/a');
      assert.equal(server.accepted, 2);
    }
  });

  it('closes the connection where nobody else waits on it', async () => {
    const server = await start(() => undefined);
    const group = groupOf([server.address], 8);
    const asked = ['/a', '/b'].map((path) => askFor(group, path));
    await untilTurn(() => server.paths.length === 2);
    for (const { attempts } of asked) attempts.close();
    assert.equal(runtime.connections.used, 0);
  });

  it('at the head of the line does not make the others wait for ever', async () => {
    const server = await start((path, _, connection) => (connection === 1 ? undefined : answer(path)));
    const group = groupOf([server.address], 8);
    const [first, second] = ['/a', '/b'].map((path) => askFor(group, path));
    await untilTurn(() => server.paths.length === 2);
    first.attempts.close();
    await finish([second]);
    assert.equal(second.recorder.body, '/b');
  });
});

describe('a slow receiver', () => {
  it('knows that others wait for it, and does not make them wait for ever', async () => {
    const server = await start((path) => answer(path.startsWith('/long') ? 'x'.repeat(300_000) : path));
    const group = groupOf([server.address], 8);
    const slow = new Recorder();
    let crowded = false;
    slow.accept = () => {
      crowded ||= slow.request!.crowded;
      return false;
    };
    const [long, other] = [askFor(group, '/long', SETTINGS, slow), askFor(group, '/a')];
    await finish([other]);
    assert.equal(other.recorder.body, '/a');
    assert.equal(crowded, true);
    assert.equal(slow.request!.crowded, false);
    slow.accept = () => true;
    slow.request!.resume();
    await finish([long]);
    assert.equal(slow.body.length, 300_000);
  });

  it('may give up in the middle without harm to the others', async () => {
    const server = await start((path) => answer(path.startsWith('/long') ? 'x'.repeat(80_000) : path));
    const group = groupOf([server.address], 8);
    const slow = new Recorder();
    slow.accept = () => false;
    const [long, other] = [askFor(group, '/long', SETTINGS, slow), askFor(group, '/a')];
    await untilTurn(() => slow.body !== '');
    long.attempts.close();
    await finish([other]);
    assert.equal(other.recorder.body, '/a');
    assert.equal(server.accepted, 1);
  });
});

describe('counts', () => {
  it('are settled before the last piece of an answer of known length is handed over', async () => {
    const server = await start(echo);
    const group = groupOf([server.address], 8);
    const recorder = new Recorder();
    let asked: Asked | undefined;
    const seen: [boolean, number][] = [];
    recorder.data = (_buffer, _start, _end, last) => {
      if (last) asked!.attempts.settle();
      seen.push([last, runtime.active()]);
      return true;
    };
    asked = askFor(group, '/a', SETTINGS, recorder);
    assert.equal(runtime.active(), 1);
    await finish([asked]);
    assert.deepEqual(seen, [[true, 0]]);
    assert.equal(runtime.active(), 0);
  });

  it('are at zero after a thousand requests, sent together, that failed in every way', async () => {
    let state = 7;
    const random = (): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return state / 0x8000_0000;
    };
    const answering: Answering = (path, socket) => {
      // Node leaks a socket that is reset while it is being ended.
      if (socket.writableEnded || socket.destroyed) return undefined;
      const way = Math.floor(random() * 14);
      if (way === 0) socket.destroy();
      else if (way === 1) socket.resetAndDestroy();
      else if (way === 2) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nhalf');
      else if (way === 3) socket.end(answer(path, 'Connection: close\r\n'));
      else if (way === 4) return 'nonsense\r\n\r\n';
      else if (way === 5) return undefined;
      else if (way === 6) return answer('x'.repeat(100_000));
      else return answer(path);
      return undefined;
    };
    const alive = [await start(answering), await start(answering)];
    const dead = await start(echo);
    await dead.close();
    const group = groupOf([...alive.map(({ address }) => address), dead.address], 8, {
      parameters: { maxFails: 0 },
    });
    const settings = { ...SETTINGS, readTimeout: 40 };
    const one = async (): Promise<void> => {
      const attempts = group.begin(settings, '');
      attempts.sharing = true;
      do {
        const recorder = new Recorder();
        if (random() < 0.2) recorder.accept = () => random() < 0.5;
        const request = attempts.next(recorder);
        if (request === undefined) break;
        recorder.request = request;
        request.start();
        if (random() < 0.2) {
          for (let turns = random() * 5; turns > 0; turns--) await turn();
          break;
        }
        const giveUp = setTimeout(() => recorder.events.push('late'), 300);
        await Promise.race([recorder.done, pause(300)]);
        clearTimeout(giveUp);
        attempts.finish(recorder.failure === undefined ? 'ok' : 'failed');
        if (recorder.failure === undefined) break;
      } while (attempts.tries > 0);
      attempts.close();
    };
    for (let batch = 0; batch < 10; batch++) await Promise.all(Array.from({ length: 100 }, one));
    assert.equal(runtime.active(), 0);
    await untilTurn(() => runtime.connections.used === runtime.connections.idle);
  });
});
