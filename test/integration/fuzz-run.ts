/** Random requests to the real program, with an upstream server that misbehaves: what the fuzz tests have in common. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createSandbox, startPortico } from '../support/portico.ts';
import { freePort, freePorts } from '../support/ports.ts';
import { until } from '../support/wait.ts';
import { countsAreZero, gauges, onlyIdle } from './endurance-load.ts';
import { type Conversation, createRandom, makeConversation } from './fuzz-requests.ts';
import type { UpstreamData, UpstreamReport } from './fuzz-upstream.ts';

/** Connections at a time. */
const PARALLEL = 64;
/** `max_conns` of each upstream server. */
const PLACES = 100;
/** A clean conversation that is not over after so long, in milliseconds, is stuck. */
const STUCK = 20_000;
/** So long a client that stalls, or waits, is silent before it goes, unless the server closes first. */
const SILENCE = 600;

const locations = (good: string, bad: string, dead: number, patience = '') => `
  add_header X-Number $arg_n always;
  location = /local { return 200 "local $arg_n\\n"; }
  location = /empty { return 204; }
  location = /redirect { return 302 /local?n=$arg_n; }
  location /static/ { root html; index index.html; }
  location = /refused { error_page 403 = @refused; return 403; }
  location @refused { return 200 "refused $arg_n\\n"; }
  location = /captured { set $last ""; if ($arg_n ~ "(\\d)$") { set $last $1; } return 200 "$last"; }
  location = /closed { return 444; }
  location /good { proxy_pass http://${good}; }
  location /unbuffered { proxy_buffering off; proxy_request_buffering off; proxy_pass http://${good}; }
  location ~ ^/regex/(\\d+)/(.*)$ { proxy_pass http://${good}/good?$2=$1; }
  location = /limited { client_max_body_size 100; proxy_pass http://${good}; }
  location /bad { ${patience} proxy_pass http://${bad}; }
  location /bad-unbuffered { ${patience} proxy_buffering off; proxy_request_buffering off; proxy_pass http://${bad}/bad; }
  location /bad-careless { ${patience} proxy_ignore_client_abort on; proxy_intercept_errors on; error_page 502 504 = /local; proxy_pass http://${bad}/bad; }
  location /upgrade { ${patience} proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://${bad}; }
  location = /dead { proxy_pass http://127.0.0.1:${dead}; }
  location = /hold { proxy_pass http://${bad}; proxy_read_timeout 60s; proxy_next_upstream off; }
  location = /hold-good { proxy_pass http://${good}/hold; proxy_next_upstream off; }
  location = /status { stub_status; }`;

/** Starts the servers of fuzz-upstream.ts, as one backend. */
async function startUpstream(seed: number) {
  const data: UpstreamData = { seed, servers: 2 };
  const worker = new Worker(new URL('fuzz-upstream.ts', import.meta.url), { workerData: data });
  let last: UpstreamReport | undefined;
  worker.on('message', (report: UpstreamReport) => {
    last = report;
  });
  await until('the upstream servers', () => last?.ports);
  return {
    get report() {
      return last!;
    },
    get held() {
      return last!.held;
    },
    releaseHeld: () => worker.postMessage('release'),
    [Symbol.asyncDispose]: async () => void (await worker.terminate()),
  };
}

/** Has a conversation, to its end. @returns what the client heard, and what is amiss with it */
function converse(port: number, conversation: Conversation): Promise<{ heard: string; stuck: boolean }> {
  return new Promise((resolve) => {
    const { pieces, ending, numbers, deaf } = conversation;
    const socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true });
    const heard: Buffer[] = [];
    let stuck = false;
    let next = 0;
    const timer = setTimeout(
      () => {
        stuck = true;
        socket.destroy();
      },
      numbers === undefined ? SILENCE : STUCK,
    );
    const listen = () => {
      socket.on('data', (chunk: Buffer) => heard.push(chunk));
    };
    if (!deaf) listen();
    const send = () => {
      if (socket.destroyed) return;
      if (next < pieces.length) {
        socket.write(Buffer.from(pieces[next++]!, 'latin1'));
        if (next % 2 === 0) setImmediate(send);
        else setTimeout(send, 1);
        return;
      }
      if (deaf) setTimeout(listen, 20);
      if (ending === 'end') socket.end();
      else if (ending === 'destroy') socket.destroy();
      else if (ending === 'reset') setTimeout(() => socket.resetAndDestroy(), pieces.length);
    };
    socket.on('connect', send);
    socket.on('error', () => {});
    // One that waits does as it is told, one that stalls keeps its own direction open.
    socket.on('end', () => {
      if (ending !== 'stall') socket.destroy();
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve({ heard: Buffer.concat(heard).toString('latin1'), stuck });
    });
  });
}

/** The `n` of each answer. */
function numbersOf(heard: string): number[] {
  return Array.from(heard.matchAll(/\r\nX-Number: (\d+)\r\n/g), ([, number]) => Number(number));
}

/** A conversation for a message, with what is long and dull in it made short. */
function show(conversation: Conversation, heard: string): string {
  const brief = (text: string) =>
    JSON.stringify(text.replace(/(.)\1{20,}/g, (run, [byte]) => `<${run.length} times ${byte}>`));
  return `${conversation.pieces.map(brief).join(', ')} and ${conversation.ending}; heard ${brief(heard)}`;
}

/** Has clients ask at random, and looks that nothing is left of it. The same seed asks the same. */
export async function askAtRandom(
  t: TestContext,
  { seed, requests: wanted, workers }: { seed: number; requests: number; workers: number },
): Promise<void> {
  await using upstream = await startUpstream(seed);
  const [port, hastyPort] = (await freePorts(2)) as [number, number];
  const dead = await freePort();
  using sandbox = createSandbox();
  sandbox.write('html/static/small.txt', 'small\n');
  sandbox.write('html/static/index.html', '<p>index</p>\n');
  sandbox.write('html/static/big.bin', 'x'.repeat(300_000));
  const group = (name: string) => `
    upstream ${name} {
      least_conn;
      ${upstream.report.ports.map((at) => `server 127.0.0.1:${at} max_conns=${PLACES} max_fails=0;`).join(' ')}
      keepalive 16;
      keepalive_timeout 1s;
      keepalive_requests 50;
    }`;
  await using portico = await startPortico({
    sandbox,
    workers,
    level: 'info',
    events: 'worker_connections 4096;',
    http: `
      access_log logs/access.log combined;
      client_header_buffer_size 512;
      large_client_header_buffers 4 2k;
      client_max_body_size 150k;
      client_body_buffer_size 8k;
      proxy_next_upstream error timeout invalid_header http_502 non_idempotent;
      proxy_next_upstream_tries 3;
      ${group('good')}
      ${group('bad')}
      server {
        listen 127.0.0.1:${port} backlog=1024;
        ${locations('good', 'bad', dead, 'proxy_read_timeout 2s; proxy_send_timeout 2s;')}
      }
      server {
        listen 127.0.0.1:${hastyPort} backlog=1024;
        client_header_timeout 200ms;
        client_body_timeout 200ms;
        send_timeout 200ms;
        keepalive_timeout 100ms;
        keepalive_requests 20;
        lingering_time 300ms;
        lingering_timeout 50ms;
        proxy_connect_timeout 300ms;
        proxy_send_timeout 200ms;
        proxy_read_timeout 200ms;
        reset_timedout_connection on;
        ${locations('good', 'bad', dead)}
      }`,
  });

  const random = createRandom(seed);
  const problems: string[] = [];
  let sent = 0;
  let conversations = 0;
  const started = performance.now();
  async function client(): Promise<void> {
    while (sent < wanted && problems.length < 5) {
      const clean = random.chance(0.4);
      const conversation = makeConversation(random, clean, sent);
      sent += conversation.requests;
      conversations++;
      const { heard, stuck } = await converse(clean || random.chance(0.3) ? port : hastyPort, conversation);
      const numbers = numbersOf(heard);
      const expected = conversation.numbers;
      if (expected !== undefined) {
        if (stuck || numbers.join() !== expected.join()) {
          problems.push(
            `${stuck ? 'stuck' : 'closed'} after ${numbers.length} of ${expected.length} answers (${numbers}): ${show(conversation, heard)}`,
          );
        }
      } else if (numbers.length > conversation.requests + 4) {
        // A mutation may have made more of them, but not many.
        problems.push(`too many answers (${numbers}): ${show(conversation, heard)}`);
      }
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, client));
  const seconds = (performance.now() - started) / 1000;
  const log = portico.errorLog();
  const alarms = log.match(/^.*(?:\[(?:crit|alert|emerg)\]| died: ).*$/gm) ?? [];
  t.diagnostic(
    `${sent} requests in ${conversations} conversations, ${seconds.toFixed(1)} s; ${upstream.report.requests} of them ` +
      'came to an upstream server',
  );
  assert.deepEqual(alarms.slice(0, 5), []);
  assert.deepEqual(problems, []);
  assert.deepEqual(upstream.report.violations, []);

  await onlyIdle(port, 0);
  await until('the upstream connections to be closed', () => upstream.report.open === 0, {
    explain: () => `${upstream.report.open} are open`,
  });
  await countsAreZero(port, [upstream], 2 * PLACES);
  await countsAreZero(port, [upstream], 2 * PLACES, '/hold-good');
  await onlyIdle(port, 0);
  const { requests } = await gauges(port);
  await until(
    'each request to be in the access log, once',
    () => sandbox.read('logs/access.log').split('\n').length - 1 === requests,
    {
      explain: () => `${requests} requests, ${sandbox.read('logs/access.log').split('\n').length - 1} lines`,
    },
  );
  // The others came after one that closed the connection, or their client had gone.
  assert.ok(requests > wanted * 0.65, `only ${requests} of ${sent} requests were read`);
  assert.equal(portico.stderr(), '');
}
