/**
 * The same requests to Portico and to the nginx of this machine, where there is one (Debian's, or the one that
 * PORTICO_TEST_NGINX names), with the same configuration: the answers have to be the same but for Date, Server and ETag,
 * and for what differential-known.ts explains.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { isRefused } from '../support/client.ts';
import { createSandbox, type Sandbox, startPortico } from '../support/portico.ts';
import { freePorts } from '../support/ports.ts';
import { until } from '../support/wait.ts';
import { type Answer, readAnswers } from './differential-answers.ts';
import { createBackend } from './differential-backend.ts';
import { isOlder, KNOWN_DIFFERENCES } from './differential-known.ts';
import { makeQuestions, type Question } from './differential-requests.ts';
import { siteConfiguration, writeSite } from './differential-site.ts';

const SEED = Number(process.env['PORTICO_TEST_SEED'] ?? 20_261_121);
const COUNT = Number(process.env['PORTICO_TEST_COUNT'] ?? 600);
const NGINX = process.env['PORTICO_TEST_NGINX'] ?? '/usr/sbin/nginx';

/** How many differences are shown in full. */
const SHOWN = Number(process.env['PORTICO_TEST_SHOW'] ?? 10);

/** Questions under way at one time. */
const PARALLEL = 8;
/** A server that has said nothing for so long, in milliseconds, has nothing more to say. */
const SILENCE = 3000;

/** The version of the nginx there is; undefined where there is none. */
function findNginx(): string | undefined {
  const { stderr, error } = spawnSync(NGINX, ['-v'], { encoding: 'latin1' });
  return error === undefined ? /nginx\/(\S+)/.exec(stderr)?.[1] : undefined;
}

async function startNginx(sandbox: Sandbox, configuration: string, port: number): Promise<ChildProcess> {
  sandbox.write('conf/nginx.conf', configuration);
  const child = spawn(NGINX, ['-p', sandbox.directory, '-c', 'conf/nginx.conf', '-e', 'logs/nginx.log'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  await until('nginx to listen', async () => child.exitCode !== null || !(await isRefused(port)));
  if (child.exitCode !== null) throw new Error(`nginx has ended: ${stderr}${sandbox.read('logs/nginx.log')}`);
  return child;
}

/** All that a server says to a question. */
function ask(port: number, { bytes }: Question): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const heard: Buffer[] = [];
    socket.setTimeout(SILENCE, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => heard.push(chunk));
    // A reset behind the answer is how a body is refused that nobody reads.
    socket.on('error', () => {});
    socket.on('close', () => resolve(Buffer.concat(heard).toString('latin1')));
    socket.write(bytes, 'latin1');
  });
}

/** The lines that only one of them has said. */
function show(theirs: readonly Answer[], ours: readonly Answer[]): string {
  const linesOf = (answers: readonly Answer[]) =>
    answers.flatMap(({ statusLine, fields, body }, index) =>
      [statusLine, ...fields, '', ...body.slice(0, 1500).split('\n')].map((line) => `${index}| ${line}`),
    );
  const [first, second] = [linesOf(theirs), linesOf(ours)];
  const without = (lines: readonly string[], others: readonly string[], mark: string) =>
    lines.filter((line) => !others.includes(line)).map((line) => `  ${mark} ${line}`);
  const lines = [...without(first, second, 'nginx  '), ...without(second, first, 'portico')];
  // The same lines, but not in the same order, or not as often.
  if (lines.length === 0) return [...first, '  and', ...second].map((line) => `  ${line}`).join('\n');
  return [...(first[0] === second[0] ? [`    ${first[0]}`] : []), ...lines].join('\n');
}

const version = findNginx();

test('answers are those of nginx', {
  skip: version === undefined ? `there is no nginx to compare with (${NGINX})` : false,
  timeout: 120_000,
}, async (context) => {
  const backend = createBackend().listen(0, '127.0.0.1');
  await once(backend, 'listening');
  context.after(() => {
    backend.closeAllConnections();
    backend.close();
  });
  const { port: backendPort } = backend.address() as AddressInfo;
  using sandbox = createSandbox();
  writeSite(sandbox);
  const [ownPort = 0, nginxPort = 0] = await freePorts(2);
  const main = (name: string) => `daemon off; pid logs/${name}.pid; error_log logs/${name}.log info;`;
  const site = (name: string, port: number) =>
    siteConfiguration({ port, backend: backendPort, main: main(name) });
  const nginx = await startNginx(sandbox, `user root;${site('nginx', nginxPort)}`, nginxPort);
  context.after(async () => {
    nginx.kill();
    if (nginx.exitCode === null && nginx.signalCode === null) await once(nginx, 'exit');
  });
  await using _portico = await startPortico({ sandbox, configuration: site('portico', ownPort) });

  const known = KNOWN_DIFFERENCES.filter(({ before }) => before === undefined || isOlder(version!, before));
  const questions = makeQuestions(SEED, COUNT);
  const differences: string[] = [];
  const statuses = new Set<string>();
  const explained = new Map<string, number>();
  let next = 0;
  async function work(): Promise<void> {
    while (next < questions.length) {
      const number = next++;
      const question = questions[number]!;
      const [theirs, ours] = await Promise.all(
        [nginxPort, ownPort].map(async (port) =>
          readAnswers(await ask(port, question), question.methods, port),
        ),
      );
      for (const { statusLine } of theirs!) statuses.add(statusLine.slice(9, 12));
      if (isDeepStrictEqual(theirs, ours)) continue;
      const difference = known.find(({ explains }) => explains(question, theirs!, ours!));
      if (difference !== undefined) {
        explained.set(difference.why, (explained.get(difference.why) ?? 0) + 1);
        continue;
      }
      differences.push(`number ${number}: ${JSON.stringify(question.bytes)}\n${show(theirs!, ours!)}`);
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, work));
  context.diagnostic(`nginx ${version}, ${questions.length} conversations`);
  for (const [why, count] of explained) context.diagnostic(`${count} times: ${why}`);
  assert.ok(statuses.size >= 15, `only these statuses have been seen: ${[...statuses].sort().join(' ')}`);
  assert.equal(
    differences.length,
    0,
    `${differences.length} answers differ\n\n${differences.slice(0, SHOWN).join('\n\n')}`,
  );
});
