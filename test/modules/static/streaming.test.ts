import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { rawClient } from '../../support/raw-client.ts';
import { until } from '../../support/wait.ts';
import { startSite } from './site.ts';

const SIZE = 20_000_000;
const content = randomBytes(SIZE);

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The files below the sandbox that the program has open. */
function openFiles(pid: number, directory: string): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
    try {
      const name = readlinkSync(`/proc/${pid}/fd/${descriptor}`);
      return name.startsWith(`${directory}root/`) ? [name] : [];
    } catch {
      return [];
    }
  });
}

const LOCATIONS = `
  location /threads/ { alias %ROOT%/; aio threads; }
  location /turns/ { alias %ROOT%/; sendfile_max_chunk 10k; }
  location /whole/ { alias %ROOT%/; sendfile_max_chunk 0; }`;

for (const where of ['', '/threads', '/turns', '/whole']) {
  test(`a large file arrives whole: ${where || 'read by the event loop'}`, async () => {
    await using site = await startSite(LOCATIONS, (sandbox) => {
      sandbox.write('root/x', '');
      writeFileSync(sandbox.path('root/big'), content);
    });
    const [one, two] = await Promise.all([site.get(`${where}/big`), site.get(`${where}/big`)]);
    assert.equal(digest(Buffer.from(one.body, 'latin1')), digest(content));
    assert.equal(digest(Buffer.from(two.body, 'latin1')), digest(content));
    const ranges = await site.get(`${where}/big`, { headers: { range: 'bytes=5-400000,-3' } });
    assert.equal(ranges.status, 206);
    assert.equal(ranges.body.length, Number(ranges.headers['content-length']));
    assert.ok(ranges.body.includes(content.subarray(5, 400_001).toString('latin1')));
    await until('all files closed', () => openFiles(site.portico.pid, site.sandbox.directory).length === 0);
  });
}

for (const where of ['', '/threads']) {
  test(`a client that goes away leaves no file open: ${where || 'read by the event loop'}`, async () => {
    await using site = await startSite(LOCATIONS, (sandbox) => {
      sandbox.write('root/x', '');
      writeFileSync(sandbox.path('root/big'), content);
    });
    const clients = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const client = await rawClient(site.port);
        client.send(`GET ${where}/big HTTP/1.1\r\nHost: x\r\n\r\n`);
        await client.until(/^HTTP\/1.1 200 /);
        client.socket.pause();
        return client;
      }),
    );
    await until(
      'a file open for each client',
      () => openFiles(site.portico.pid, site.sandbox.directory).length === 20,
    );
    for (const client of clients) client.destroy();
    await until('all files closed', () => openFiles(site.portico.pid, site.sandbox.directory).length === 0);
    assert.equal((await site.get('/x')).status, 200);
  });
}

test('a client that reads slowly gets every byte, and others are served meanwhile', async () => {
  await using site = await startSite(LOCATIONS, (sandbox) => {
    sandbox.write('root/x', 'x');
    writeFileSync(sandbox.path('root/big'), content);
  });
  const client = await rawClient(site.port);
  client.socket.pause();
  client.send('GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  for (let index = 0; index < 10; index++) assert.equal((await site.get('/x')).body, 'x');
  client.socket.resume();
  const answer = await client.closed();
  const body = answer.slice(answer.indexOf('\r\n\r\n') + 4);
  assert.equal(digest(Buffer.from(body, 'latin1')), digest(content));
});

test('a file that becomes shorter while it is sent breaks the answer off', async () => {
  await using site = await startSite(LOCATIONS, (sandbox) => {
    sandbox.write('root/x', '');
    writeFileSync(sandbox.path('root/big'), content);
  });
  const client = await rawClient(site.port);
  client.send('GET /big HTTP/1.1\r\nHost: x\r\n\r\n');
  await client.until(/^HTTP\/1.1 200 /);
  client.socket.pause();
  truncateSync(site.sandbox.path('root/big'), 1000);
  client.socket.resume();
  const answer = await client.closed();
  assert.ok(answer.length < SIZE);
  await site.portico.logged(/pread\(\) read only 0 of \d+ from ".*\/root\/big"/);
  await until('all files closed', () => openFiles(site.portico.pid, site.sandbox.directory).length === 0);
});
