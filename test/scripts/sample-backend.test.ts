import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { request } from 'undici';
import WebSocket from 'ws';
import { formatTime, portTakenExitCode } from '../../scripts/sample-backend.ts';
import { type Program, startProgram } from './program.ts';

const script = resolve(import.meta.dirname, '../../scripts/sample-backend.ts');

async function startBackend(context: TestContext, name: string): Promise<{ program: Program; port: string }> {
  const program = startProgram(context, process.execPath, [script, name, '0']);
  const line = await program.line(/Listening/);
  const match = /^\[(.*)\] Listening on port (\d+)$/.exec(line);
  assert.equal(match?.[1], name);
  return { program, port: match![2] };
}

describe('formatTime', () => {
  for (const [time, expected] of [
    [new Date(2024, 7, 9, 2, 43, 48), '09 August 2024 - 2:43:48 AM'],
    [new Date(2025, 11, 31, 0, 5, 9), '31 December 2025 - 12:05:09 AM'],
    [new Date(2026, 0, 1, 12, 0, 0), '01 January 2026 - 12:00:00 PM'],
    [new Date(2026, 1, 28, 23, 59, 59), '28 February 2026 - 11:59:59 PM'],
  ] as const) {
    it(expected, () => assert.equal(formatTime(time), expected));
  }
});

describe('a sample backend', () => {
  it('logs each request and answers with what it saw of it', async (context) => {
    const { program, port } = await startBackend(context, 'Server 1');
    const { statusCode, body } = await request(`http://127.0.0.1:${port}/some/path?with=query`, {
      method: 'POST',
      body: 'four',
      headers: {
        host: 'front.example',
        'x-real-ip': '203.0.113.9',
        'x-forwarded-for': '203.0.113.9, 10.0.0.1',
      },
    });
    assert.equal(statusCode, 200);
    assert.deepEqual((await body.text()).split('\n'), [
      'Server 1',
      'POST /some/path?with=query HTTP/1.1',
      'Host: front.example',
      'X-Real-IP: 203.0.113.9',
      'X-Forwarded-For: 203.0.113.9, 10.0.0.1',
      'X-Forwarded-Proto: (none)',
      'Body: 4 bytes',
      '',
    ]);
    assert.match(
      await program.line(/Received/),
      /^\[Server 1\] \d\d [A-Z][a-z]+ \d{4} - \d{1,2}:\d\d:\d\d [AP]M - Received POST request from (::ffff:)?127\.0\.0\.1$/,
    );
  });

  it('echoes WebSocket messages at /ws, and refuses other upgrades', async (context) => {
    const { port } = await startBackend(context, 'Server 2');
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    const [greeting] = await once(webSocket, 'message');
    assert.equal(String(greeting), 'Server 2 echoes');
    webSocket.send(Buffer.from([1, 2, 3]));
    const [echo, isBinary] = await once(webSocket, 'message');
    assert.deepEqual([echo, isBinary], [Buffer.from([1, 2, 3]), true]);
    webSocket.close();
    await once(webSocket, 'close');

    const refused = new WebSocket(`ws://127.0.0.1:${port}/elsewhere`);
    const [error] = await once(refused, 'error');
    assert.match((error as Error).message, /404/);
  });

  it('answers the request under way before SIGTERM ends it', async (context) => {
    const { program, port } = await startBackend(context, 'Server 1');
    const underWay = httpRequest({ port, host: '127.0.0.1', method: 'PUT' });
    underWay.write('first half, ');
    await program.line(/Received PUT/);
    program.process.kill('SIGTERM');
    underWay.end('second half');
    const [response] = await once(underWay, 'response');
    let text = '';
    for await (const chunk of response) text += chunk;
    assert.match(text, /Body: 23 bytes/);
    assert.equal(await program.ended, 0);
  });

  it('ends at SIGINT, open WebSockets or not', async (context) => {
    const { program, port } = await startBackend(context, 'Server 1');
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await once(webSocket, 'message');
    program.process.kill('SIGINT');
    const [code] = await once(webSocket, 'close');
    assert.equal(code, 1001);
    assert.equal(await program.ended, 0);
  });

  it('says that its port is taken', async (context) => {
    const { port } = await startBackend(context, 'Server 1');
    const second = startProgram(context, process.execPath, [script, 'Server 2', port]);
    assert.equal(await second.ended, portTakenExitCode);
    assert.deepEqual(second.lines, [`[Server 2] Port ${port} is taken by another program`]);
  });

  it('says how it is used', async (context) => {
    const program = startProgram(context, process.execPath, [script, 'Server 1', 'eighty']);
    assert.equal(await program.ended, 2);
    assert.match(program.lines[0], /^usage: /);
  });
});
