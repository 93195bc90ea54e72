import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { hostname } from 'node:os';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createErrorLog } from '../../src/log/error-log.ts';
import { readErrorLog } from '../../src/log/error-log-target.ts';
import { createOpenFiles } from '../../src/log/open-files.ts';
import { createSyslogSender } from '../../src/log/syslog.ts';
import { readSyslog, resolveSyslogServer, type SyslogTarget } from '../../src/log/syslog-target.ts';
import { until } from '../support/wait.ts';

const SEED = 20_261_121;

interface Server {
  readonly port: number;
  readonly received: Buffer[];
  [Symbol.dispose](): void;
}

async function listen(type: 'udp4' | 'udp6' = 'udp4', port = 0): Promise<Server> {
  const socket: Socket = createSocket(type);
  const received: Buffer[] = [];
  socket.on('message', (message) => received.push(message));
  socket.bind(port, type === 'udp4' ? '127.0.0.1' : '::1');
  await once(socket, 'listening');
  return { port: socket.address().port, received, [Symbol.dispose]: () => socket.close() };
}

function targetOf(parameters: string): SyslogTarget {
  const read = readSyslog(`syslog:${parameters}`);
  if ('error' in read) throw new Error(read.error);
  return read.target;
}

const receive = async ({ received }: Server, count: number): Promise<string[]> => {
  await until(`${count} messages`, () => received.length >= count);
  return received.map((message) => message.toString('latin1'));
};

describe('syslog:', () => {
  test('says where messages go and what they are marked with', () => {
    assert.deepEqual(targetOf('server=192.0.2.1'), {
      server: {
        text: '192.0.2.1:514',
        written: '192.0.2.1',
        host: '192.0.2.1',
        port: 514,
        address: '192.0.2.1',
      },
      facility: 23,
      severity: 6,
      tag: 'nginx',
      noHostname: false,
    });
    const full = targetOf('severity=alert,nohostname,tag=a_1,facility=user,server=[::1]:5140');
    assert.deepEqual(
      { ...full, server: full.server.text },
      {
        server: '[::1]:5140',
        facility: 1,
        severity: 1,
        tag: 'a_1',
        noHostname: true,
      },
    );
    assert.equal(full.server.address, '::1');
  });

  test('names of servers are resolved while the configuration is linked', async () => {
    const { server } = targetOf('server=logs.example:99');
    assert.equal(server.address, '');
    await resolveSyslogServer(server, async () => ['192.0.2.7', '192.0.2.8']);
    assert.equal(server.address, '192.0.2.7');
    const lost = targetOf('server=nowhere.example').server;
    await assert.rejects(
      resolveSyslogServer(lost, async () => {
        throw new Error('ENOTFOUND');
      }),
      /^Error: host not found in syslog server "nowhere.example"$/,
    );
  });

  test('mistakes are worded as by nginx', () => {
    const cases: [parameters: string, message: string][] = [
      ['facility=user', 'no syslog server specified'],
      ['server=a,server=b', 'duplicate syslog "server"'],
      ['server=a,facility=user,facility=user', 'duplicate syslog "facility"'],
      ['server=a,facility=nope', 'unknown syslog facility "nope"'],
      ['server=a,severity=warn,severity=warn', 'duplicate syslog "severity"'],
      ['server=a,severity=warning', 'unknown syslog severity "warning"'],
      ['server=a,tag=a,tag=b', 'duplicate syslog "tag"'],
      [`server=a,tag=${'x'.repeat(33)}`, 'syslog tag length exceeds 32'],
      ['server=a,tag=a-b', 'syslog "tag" only allows alphanumeric characters and underscore'],
      ['server=a,nohost', 'unknown syslog parameter "nohost"'],
      ['server=', 'no host in syslog server ""'],
      ['server=a:0', 'invalid port in syslog server "a:0"'],
      ['server=a:65536', 'invalid port in syslog server "a:65536"'],
      ['server=[::g]', 'invalid IPv6 address in syslog server "[::g]"'],
      [
        'server=unix:/dev/log',
        'syslog server "unix:/dev/log" is not supported: Node.js has no datagrams over Unix sockets, use a UDP port',
      ],
    ];
    for (const [parameters, error] of cases) {
      assert.deepEqual(readSyslog(`syslog:${parameters}`), { error }, parameters);
    }
  });

  test('whatever is written is read or refused', () => {
    const word = fc.stringMatching(/^[a-z=,:[\].0-9_]*$/);
    fc.assert(
      fc.property(word, fc.constantFrom('server=', 'facility=', 'tag=', ''), (text, start) => {
        const read = readSyslog(`syslog:${start}${text}`);
        if ('error' in read) assert.ok(read.error.length > 0);
        else assert.ok(read.target.server.port > 0 && read.target.tag.length <= 32);
      }),
      { seed: SEED },
    );
  });
});

describe('a syslog sender', () => {
  const silent = () => assert.fail('no trouble was expected');

  test('sends a message as RFC 3164 has it', async () => {
    using server = await listen();
    const sender = createSyslogSender(targetOf(`server=127.0.0.1:${server.port},facility=user`), silent);
    sender.send(3, 'caf\xe9');
    const [message] = await receive(server, 1);
    assert.match(message, /^<11>[A-Z][a-z]{2} [ 1-3]\d (\d\d:){2}\d\d /);
    assert.ok(message.endsWith(` ${hostname().toLowerCase()} nginx: caf\xe9`), message);
    sender.close();
    sender.send(3, 'never');
  });

  test('leaves the host out where that is asked for, and speaks IPv6', async () => {
    using server = await listen('udp6');
    const sender = createSyslogSender(targetOf(`server=[::1]:${server.port},nohostname,tag=t`), silent);
    sender.send(6, Buffer.from('x'));
    const [message] = await receive(server, 1);
    assert.match(message, /^<190>[A-Z][a-z]{2} [ 1-3]\d (\d\d:){2}\d\d t: x$/);
    sender.close();
  });

  test('tells that nobody listens, and sends again when somebody does', async () => {
    const { port } = await (async () => {
      using gone = await listen();
      return gone;
    })();
    const told: string[] = [];
    const sender = createSyslogSender(targetOf(`server=127.0.0.1:${port}`), (level, message) => {
      told.push(`${level}: ${message}`);
      // What is told may come here again: it must not go round.
      sender.send(3, message);
    });
    sender.send(6, 'lost');
    await until('the failure', () => told.length > 0);
    assert.equal(
      told[0],
      `error: send() failed (111: Connection refused) while logging to syslog, server: 127.0.0.1:${port}`,
    );
    using server = await listen('udp4', port);
    sender.send(6, 'heard');
    const [message] = await receive(server, 1);
    assert.match(message, /nginx: heard$/);
    assert.equal(told.length, 1);
    sender.close();
  });

  test('a server that cannot be reached costs messages and nothing else', async () => {
    const told: string[] = [];
    // Sending to everybody needs a permission that the socket does not have.
    const sender = createSyslogSender(targetOf('server=255.255.255.255'), (level, message) =>
      told.push(`${level}: ${message}`),
    );
    sender.send(6, 'x');
    sender.send(6, 'y');
    await until('the failure', () => told.length > 0);
    assert.match(told[0], /^(alert|error): (connect|send)\(\) failed \(\d+: .*255\.255\.255\.255:514$/);
    sender.close();
  });
});

describe('an error log that goes to syslog', () => {
  const errorTarget = (...words: string[]) => {
    const read = readErrorLog(words);
    if ('error' in read) throw new Error(read.error);
    return read.target;
  };

  test("gives each message the severity of its level, in nginx's lines", async () => {
    using server = await listen();
    const files = createOpenFiles();
    const target = errorTarget(`syslog:server=127.0.0.1:${server.port},severity=debug,nohostname`, 'info');
    const log = createErrorLog([target], files);
    log.write('emerg', 'worst');
    log.write('info', 'least', 7, () => [['client', '127.0.0.1', false]]);
    log.write('debug', 'no');
    log.everything.write('debug', 'yes');
    const messages = await receive(server, 3);
    assert.match(messages[0], /^<184>.* nginx: \d{4}\/\d\d\/\d\d [\d:]{8} \[emerg\] \d+#\d+: worst$/);
    assert.match(messages[1], /^<190>.*\[info\] \d+#\d+: \*7 least, client: 127\.0\.0\.1$/);
    assert.match(messages[2], /^<191>.*\[debug\] \d+#\d+: yes$/);
    log.close();
  });

  test('can be JSON there too', async () => {
    using server = await listen();
    const log = createErrorLog(
      [errorTarget(`syslog:server=127.0.0.1:${server.port}`, 'warn', 'json')],
      createOpenFiles(),
    );
    log.write('crit', 'broken');
    const [message] = await receive(server, 1);
    assert.match(message, /^<186>/);
    const line = JSON.parse(message.slice(message.indexOf('{'))) as { msg: string; level: string };
    assert.deepEqual([line.level, line.msg], ['crit', 'broken']);
    log.close();
  });

  test('tells the main log that messages are lost', async () => {
    const { port } = await (async () => {
      using gone = await listen();
      return gone;
    })();
    using main = await listen();
    const files = createOpenFiles();
    const mainLog = createErrorLog([errorTarget(`syslog:server=127.0.0.1:${main.port}`)], files);
    const log = createErrorLog([errorTarget(`syslog:server=127.0.0.1:${port}`)], files, {
      trouble: () => mainLog,
    });
    log.write('error', 'lost');
    const [message] = await receive(main, 1);
    assert.match(message, /send\(\) failed \(111: Connection refused\) while logging to syslog, server/);
    log.close();
    mainLog.close();
  });
});
