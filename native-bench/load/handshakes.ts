/**
 * Makes a TLS connection for each request, which wrk does too, but wrk resumes a session wherever it can.
 *
 *     node handshakes.ts PORT CONNECTIONS SECONDS fresh|resume
 *
 * `fresh` never shows a session. `resume` shows one whenever it has one that it has not shown before, which
 * is what browsers do (RFC 8446, C.4): a proxy that gives out no new one to those that resume has them make
 * a full handshake the next time.
 *
 * Prints what it counted in the form of load/report.lua's line, without the mark, and `resumed`: how many
 * of the connections were.
 */
import { connect, createSecureContext } from 'node:tls';
import { Latencies } from '../latencies.ts';
import { CIPHER_SUITE, KEY_EXCHANGE } from '../tls-files.ts';

const [port, connections, seconds] = process.argv.slice(2, 5).map(Number);
const resume = process.argv[5] === 'resume';

const secureContext = createSecureContext({
  minVersion: 'TLSv1.3',
  ciphers: CIPHER_SUITE,
  ecdhCurve: KEY_EXCHANGE,
});
const request = 'GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n';
/** Sessions that have not been shown. More than the connections can use is of no use. */
const sessions: Buffer[] = [];

const latencies = new Latencies();
let resumed = 0;
let bytes = 0;
let failedToConnect = 0;
let broken = 0;
let refused = 0;
let underWay = 0;
const started = performance.now();
const deadline = started + seconds * 1000;

function next(): void {
  const now = performance.now();
  if (now >= deadline) {
    if (underWay === 0) report();
    return;
  }
  underWay++;
  let received = '';
  let isOpen = false;
  let isAnswered = false;
  const socket = connect({
    ...{ port, host: '127.0.0.1', secureContext, rejectUnauthorized: false },
    session: resume ? sessions.pop() : undefined,
  });
  socket.setEncoding('latin1');
  socket.setTimeout(10_000, () => socket.destroy());
  if (resume) {
    socket.on('session', (session) => {
      if (sessions.length < 2 * connections) sessions.push(session);
    });
  }
  socket.once('secureConnect', () => {
    isOpen = true;
    if (socket.isSessionReused()) resumed++;
    socket.write(request, 'latin1');
  });
  socket.on('data', (chunk: string) => {
    received += chunk;
    const end = received.indexOf('\r\n\r\n');
    if (isAnswered || end < 0 || received.length < end + 4 + 100) return;
    isAnswered = true;
    if (!received.startsWith('HTTP/1.1 200 ')) refused++;
    latencies.add(performance.now() - now);
    bytes += received.length;
    socket.end();
  });
  socket.on('error', () => {}); // `close` follows
  socket.once('close', () => {
    underWay--;
    if (!isOpen) failedToConnect++;
    else if (!isAnswered) broken++;
    next();
  });
}

function report(): void {
  const duration = Math.round((performance.now() - started) * 1000);
  const result = {
    ...{ requests: latencies.count, duration, bytes, connect: failedToConnect, read: broken, write: 0 },
    ...{ status: refused, timeout: 0, p50: latencies.at(0.5), p99: latencies.at(0.99), resumed },
  };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

for (let each = 0; each < connections; each++) next();
