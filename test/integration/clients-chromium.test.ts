/** A browser as a client of both engines, with and without TLS. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { until } from '../support/wait.ts';
import { FRONTS, findProgram, LARGE, startFronts } from './clients.ts';

const chromium = findProgram('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable');

/** How long a browser may take from its start to its last page, in milliseconds. */
const PATIENCE = 45_000;

/** What a page has found out. */
interface Report {
  readonly front: string;
  /** What went wrong where it could not go on. */
  readonly error?: string;
  readonly text: string;
  readonly largeLength: number;
  readonly largeDigest: string;
  readonly impostor: string;
  readonly protocol: string;
  readonly extensions: string;
  readonly messages: readonly string[];
  readonly closedByServer: readonly [code: number, reason: string, wasClean: boolean];
  readonly closedByPage: readonly [code: number, wasClean: boolean];
}

/**
 * A page that Portico serves: it talks to where it comes from in all the ways there are, tells the test, and goes on to
 * the page that the test names.
 */
const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>A test</title>
<link rel="icon" href="data:,">
<script type="module">
  const asked = new URLSearchParams(location.search);
  const report = { front: asked.get('front') };
  const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  const digest = async (bytes) => hex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
  try {
    const answer = await fetch('/echo', { method: 'POST', body: 'from the page' });
    report.text = answer.status + ' ' + answer.headers.get('X-Seen') + ' ' + (await answer.text());
    const large = await (await fetch('/large')).arrayBuffer();
    report.largeLength = large.byteLength;
    report.largeDigest = await digest(large);
    report.impostor = await fetch(asked.get('impostor')).then(() => 'was trusted', () => 'was found out');

    const url = 'ws' + location.origin.slice(4) + '/ws';
    const socket = new WebSocket(url, ['other', 'chat']);
    socket.binaryType = 'arraybuffer';
    const messages = [];
    const closed = new Promise((resolve) => (socket.onclose = resolve));
    socket.onmessage = async ({ data }) => {
      messages.push(typeof data === 'string' ? data : 'bytes ' + (await digest(data)));
      if (messages.length === 2) socket.send(new Uint8Array(300_000).fill(7));
      if (messages.length === 3) socket.send('your turn');
    };
    socket.onopen = () => {
      report.protocol = socket.protocol;
      report.extensions = socket.extensions;
      socket.send('gr\\u00fc\\u00df dich');
    };
    const end = await closed;
    report.messages = messages;
    report.closedByServer = [end.code, end.reason, end.wasClean];

    const other = new WebSocket(url);
    const otherClosed = new Promise((resolve) => (other.onclose = resolve));
    other.onmessage = () => other.close(4321, 'so am I');
    const { code, wasClean } = await otherClosed;
    report.closedByPage = [code, wasClean];
  } catch (error) {
    report.error = String(error);
  }
  const next = await fetch(asked.get('report'), { method: 'POST', body: JSON.stringify(report) });
  const target = await next.text();
  if (target !== '') location.replace(target);
</script>
`;

/** Where the pages report to: not through what is tested. */
async function startReporting(): Promise<{
  readonly url: string;
  /** Waits for so many reports. @param next where a page goes on to, by the number of reports before */
  collect(count: number, next: (index: number) => string): Promise<Report[]>;
  stop(): void;
}> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    collect(count, next) {
      const reports: Report[] = [];
      return new Promise((resolve) => {
        server.on('request', async (request, response) => {
          const body = (await request.toArray()).join('');
          response.setHeader('Access-Control-Allow-Origin', '*');
          if (request.method !== 'POST') {
            response.end();
            return;
          }
          reports.push(JSON.parse(body) as Report);
          response.end(reports.length < count ? next(reports.length) : '');
          if (reports.length === count) response.once('close', () => resolve(reports));
        });
      });
    },
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Starts the browser, which goes by no setting of whoever runs the test. */
function startBrowser(directory: string, trustedKeyHash: string, url: string): ChildProcess {
  return spawn(
    chromium!,
    [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'],
      ...[
        '--disable-quic',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
      ...['--disable-extensions', '--disable-default-apps', '--metrics-recording-only', '--no-proxy-server'],
      // Nothing but this machine.
      '--host-resolver-rules=MAP localhost 127.0.0.1, MAP * ~NOTFOUND',
      `--ignore-certificate-errors-spki-list=${trustedKeyHash}`,
      ...[`--user-data-dir=${directory}`, url],
    ],
    // A group of its own: it has many processes.
    { stdio: ['ignore', 'ignore', 'pipe'], detached: true, env: { ...process.env, HOME: directory } },
  );
}

async function stopBrowser(browser: ChildProcess): Promise<void> {
  if (browser.exitCode !== null || browser.signalCode !== null || browser.pid === undefined) return;
  const ended = once(browser, 'exit');
  process.kill(-browser.pid, 'SIGKILL');
  await ended;
}

test('a browser talks HTTP and WebSocket, plain and over TLS, to both engines', {
  skip: chromium === undefined && 'there is no Chromium here',
}, async () => {
  /** The codes of all WebSockets that the server has seen closed. */
  const closed: number[] = [];
  const running = await startFronts((socket) => {
    socket.send('welcome');
    socket.on('message', (data, binary) => {
      if (data.toString() === 'your turn') socket.close(4242, 'the server is tired');
      else socket.send(data, { binary });
    });
    socket.on('close', (code) => closed.push(code));
  });
  const reporting = await startReporting();
  let browser: ChildProcess | undefined;
  try {
    running.sandbox.write('html/page.html', PAGE);
    const impostor = `https://localhost:${running.impostorPort}/`;
    const pages = running.fronts.map(({ origin, name }) => {
      const query = new URLSearchParams({ front: name, impostor, report: reporting.url });
      return `${origin}/files/page.html?${query}`;
    });
    const key = createPublicKey(running.certificate.certificate).export({ type: 'spki', format: 'der' });
    const keyHash = createHash('sha256').update(key).digest('base64');
    const collected = reporting.collect(pages.length, (index) => pages[index]!);

    let said = '';
    browser = startBrowser(running.sandbox.path('browser'), keyHash, pages[0]!);
    browser.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    let timer: NodeJS.Timeout | undefined;
    const reports = await Promise.race([
      collected,
      once(browser, 'exit').then(() => Promise.reject(new Error(`the browser has ended:\n${said}`))),
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no report:\n${said}`)), PATIENCE);
      }),
    ]).finally(() => clearTimeout(timer));

    const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    assert.deepEqual(
      reports,
      FRONTS.map(({ name, engine, secure }) => ({
        front: name,
        text: `200 POST ${secure ? 'https' : 'http'} - from the page`,
        largeLength: LARGE.length,
        largeDigest: sha256(LARGE),
        impostor: 'was found out',
        protocol: 'chat',
        // GENERAL_LIMITS: uws negotiates none.
        extensions: engine === 'node' ? 'permessage-deflate' : '',
        messages: ['welcome', 'grüß dich', `bytes ${sha256(new Uint8Array(300_000).fill(7))}`],
        closedByServer: [4242, 'the server is tired', true],
        closedByPage: [4321, true],
      })),
    );
    // And the servers have been told.
    await until('all WebSockets to be closed', () => closed.length === 2 * FRONTS.length);
    for (const code of [4242, 4321]) {
      assert.equal(closed.filter((other) => other === code).length, FRONTS.length);
    }
    assert.doesNotMatch(running.portico.errorLog(), /\[(?:warn|error|crit|alert|emerg)\]/);
  } finally {
    if (browser !== undefined) await stopBrowser(browser);
    reporting.stop();
    await running.stop();
  }
});
