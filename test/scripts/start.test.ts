import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { freePorts } from '../support/ports.ts';
import { type Program, startProgram } from './program.ts';

const script = resolve(import.meta.dirname, '../../scripts/start.ts');

/** In Portico's place: listens where its environment says, and prints its arguments and its signals. */
const standIn = `#!${process.execPath}
const server = require('node:net').createServer().listen(process.env.STAND_IN_PORT, () => {
  console.log('stand-in', JSON.stringify(process.argv.slice(2)));
});
for (const [signal, code] of [['SIGINT', 0], ['SIGTERM', 5], ['SIGHUP', 99]]) {
  process.on(signal, () => { console.log('stand-in got', signal); process.exit(code); });
}
process.on('SIGQUIT', () => console.log('stand-in drains'));
process.on('SIGUSR2', () => process.exit(3));
`;

/** Starts everything, with free ports. */
async function start(context: TestContext): Promise<{ program: Program; port: number; backends: number[] }> {
  const directory = mkdtempSync(join(tmpdir(), 'portico-start-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'stand-in.cjs');
  writeFileSync(file, standIn);
  chmodSync(file, 0o755);
  const [port, ...backends] = await freePorts(3);
  const program = startProgram(
    context,
    process.execPath,
    [
      script,
      `--program=${file}`,
      '--config=/some/front-door.conf',
      `--url=http://localhost:${port}`,
      ...backends.map((backend) => `--backend=${backend}`),
    ],
    { env: { ...process.env, STAND_IN_PORT: String(port) } },
  );
  return { program, port, backends };
}

/** Whether anything still listens on one of these ports. */
async function anyListens(ports: readonly number[]): Promise<boolean> {
  for (const port of ports) {
    const socket = connect(port, '127.0.0.1');
    const listens = await new Promise<boolean>((settle) => {
      socket.once('connect', () => settle(true));
      socket.once('error', () => settle(false));
    });
    socket.destroy();
    if (listens) return true;
  }
  return false;
}

describe('npm start', () => {
  it('starts the backends, then Portico, then says what to try', async (context) => {
    const { program, port, backends } = await start(context);
    await program.line(/Ctrl-C ends everything/);
    assert.deepEqual(program.lines.slice(0, 3), [
      `[Server 1] Listening on port ${backends[0]}`,
      `[Server 2] Listening on port ${backends[1]}`,
      'stand-in ["-e","stderr","-c","/some/front-door.conf"]',
    ]);
    assert.ok(program.lines.some((line) => line.trim().startsWith(`curl http://localhost:${port}/ `)));
    program.process.kill('SIGINT');
    assert.equal(await program.ended, 0);
  });

  for (const [signal, passedOn, code] of [
    ['SIGINT', 'SIGINT', 0],
    ['SIGTERM', 'SIGTERM', 5],
    ['SIGHUP', 'SIGTERM', 5],
  ] as const) {
    it(`ends everything at ${signal}, with Portico's exit code`, async (context) => {
      const { program, port, backends } = await start(context);
      await program.line(/Ctrl-C/);
      program.process.kill(signal);
      assert.equal(await program.ended, code);
      assert.ok(program.lines.includes(`stand-in got ${passedOn}`));
      assert.equal(await anyListens([port, ...backends]), false);
    });
  }

  it('keeps the backends until Portico, draining, has ended', async (context) => {
    const { program, port, backends } = await start(context);
    const processId = Number(/kill -HUP (\d+)/.exec(await program.line(/kill -HUP/))![1]);
    program.process.kill('SIGQUIT');
    await program.line(/stand-in drains/);
    assert.equal(await anyListens([backends[0]]), true);
    process.kill(processId, 'SIGUSR2');
    assert.equal(await program.ended, 3);
    assert.equal(await anyListens([port, ...backends]), false);
  });

  it('leaves no backend behind when it is killed', async (context) => {
    const { program, backends } = await start(context);
    const processId = Number(/kill -HUP (\d+)/.exec(await program.line(/kill -HUP/))![1]);
    program.process.kill('SIGKILL');
    process.kill(processId, 'SIGKILL');
    // The pipes close, and so the program counts as ended, when the last process that holds them is gone.
    assert.equal(await program.ended, 'SIGKILL');
    assert.equal(await anyListens(backends), false);
  });

  for (const [which, name] of [
    [0, 'Portico'],
    [1, 'Server 1'],
    [2, 'Server 2'],
  ] as const) {
    it(`says so when the port of ${name} is taken`, async (context) => {
      const taken = createServer().listen(0);
      context.after(() => taken.close());
      await once(taken, 'listening');
      const address = taken.address();
      assert.ok(address !== null && typeof address === 'object');
      const ports = await freePorts(3);
      ports[which] = address.port;
      const program = startProgram(context, process.execPath, [
        script,
        '--program=/bin/false',
        `--url=http://localhost:${ports[0]}`,
        `--backend=${ports[1]}`,
        `--backend=${ports[2]}`,
      ]);
      assert.equal(await program.ended, 1);
      assert.equal(
        program.lines.at(-1),
        `npm start: port ${address.port} is taken, and ${name} needs it: end the program that listens there`,
      );
      assert.equal(await anyListens(ports.filter((port) => port !== address.port)), false);
    });
  }
});
