import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { startBackend } from '../../native-bench/backend.ts';
import { Latencies } from '../../native-bench/latencies.ts';
import { findProgram } from '../../native-bench/machine.ts';
import { upgradeAnswer } from '../../native-bench/messages.ts';
import { runHandshakes, runMessages } from '../../native-bench/own-loads.ts';
import { createKeeper, type Keeper } from '../../native-bench/process-keeper.ts';
import { describeErrors } from '../../native-bench/wrk.ts';
import { createCertificate } from '../../scripts/x509.ts';

const skip = process.platform === 'linux' ? false : 'needs Linux';
let keeper: Keeper;
before(() => {
  keeper = createKeeper();
});
after(() => keeper.endAll());

/** A server on a free port, closed with its connections when the test is over. */
async function listen(server: ReturnType<typeof createServer>, context: { after(close: () => void): void }) {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  context.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as { port: number }).port;
}

test('latencies are given as the step that so many did not exceed', () => {
  const latencies = new Latencies();
  assert.equal(latencies.at(0.5), 0);
  for (let each = 0; each < 99; each++) latencies.add(1.0);
  latencies.add(5000);
  assert.equal(latencies.count, 100);
  assert.equal(latencies.at(0.5), 1010);
  assert.equal(latencies.at(0.99), 1010);
  assert.equal(latencies.at(1), 1_000_000);
});

test('messages go to the server that echoes and come back, between the two calls', {
  skip: findProgram('taskset') === undefined ? 'not installed: taskset' : skip,
}, async () => {
  const backend = await startBackend(keeper, []);
  try {
    const calls: string[] = [];
    const result = await runMessages(
      ...([keeper, backend.echoPort, { connections: 4, seconds: 0.2 }, []] as const),
      () => calls.push('begin'),
      () => calls.push('end'),
    );
    assert.deepEqual(calls, ['begin', 'end']);
    assert.equal(describeErrors(result), '');
    assert.ok(result.requests >= 4);
    assert.equal(result.bytes, result.requests * 34);
    assert.ok(result.p50 > 0 && result.p99 >= result.p50);
  } finally {
    await Promise.all(backend.kept.map((each) => keeper.end(each)));
  }
});

test('a WebSocket that is refused, and one that breaks, make a run invalid', { skip }, async (context) => {
  const refusing = createServer((socket) => {
    socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
  });
  const breaking = createServer((socket) => {
    socket.once('data', (chunk) => {
      const key = /^Sec-WebSocket-Key: (.*)\r$/m.exec(chunk.toString('latin1'))?.[1] ?? '';
      socket.write(upgradeAnswer(key));
      socket.once('data', () => socket.destroy());
    });
  });
  const run = async (server: ReturnType<typeof createServer>) => {
    const port = await listen(server, context);
    const nothing = (): void => {};
    const load = { connections: 3, seconds: 0.1 };
    return describeErrors(await runMessages(keeper, port, load, [], nothing, nothing));
  };
  assert.match(await run(refusing), /3 connections refused/);
  assert.match(await run(breaking), /3 reads failed/);
});

test('TLS connections are counted, and those that resume a session', { skip }, async (context) => {
  const { certificate, key } = createCertificate({ name: 'localhost' });
  const body = 'x'.repeat(100);
  const server = createTlsServer({ cert: certificate, key }, (socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n${body}`));
  });
  const port = await listen(server, context);
  const load = { connections: 2, seconds: 0.3 };
  const fresh = await runHandshakes(keeper, port, { ...load, resume: false }, []);
  assert.equal(describeErrors(fresh), '');
  assert.equal(fresh.resumed, 0);
  // As many as it takes on a slow machine: the first connections have nothing to resume.
  let resumed = await runHandshakes(keeper, port, { ...load, resume: true }, []);
  if (resumed.requests < 8) {
    resumed = await runHandshakes(keeper, port, { connections: 2, seconds: 3, resume: true }, []);
  }
  assert.equal(describeErrors(resumed), '');
  assert.ok((resumed.resumed ?? 0) > 0, JSON.stringify(resumed));
});

test('a port where nobody speaks TLS makes a run of handshakes invalid', { skip }, async (context) => {
  const port = await listen(
    createServer((socket) => socket.end('no')),
    context,
  );
  const load = { connections: 2, seconds: 0.1, resume: false };
  assert.match(describeErrors(await runHandshakes(keeper, port, load, [])), /\d+ connections refused/);
});
