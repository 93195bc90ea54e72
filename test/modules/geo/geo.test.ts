import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../../support/check.ts';
import { startPortico } from '../../support/portico.ts';
import { freePort } from '../../support/ports.ts';
import { get } from '../../support/request.ts';

/** What the check says first of a `geo` block. */
const complaint = async (block: string) => (await check(`geo $g { ${block} }`)).line;

test('the value is that of the smallest network, of IPv4 and IPv6, or of the range', async () => {
  const port = await freePort();
  await using _portico = await startPortico({
    http: `
    geo $arg_a $network {
      default none; 10.0.0.0/8 ten; 10.1.0.0/16 more; 10.1.2.3 one; 2001:db8::/32 documentation;
      delete 10.9.0.0/16; 255.255.255.255 highest;
    }
    geo $arg_a $range { ranges; default none; 10.0.0.0-10.0.255.255 ten; 10.0.1.0-10.0.1.255 inner; }
    geo $mine { proxy 127.0.0.1; proxy 192.0.2.0/24; 127.0.0.1 local; 192.0.2.1 near; 198.51.100.1 far; }
    geo $furthest { proxy 127.0.0.1; proxy 192.0.2.0/24; proxy_recursive; 192.0.2.1 near; 198.51.100.1 far; }
    server { listen 127.0.0.1:${port}; return 200 "$network $range $mine $furthest"; }`,
  });
  const values = async (address: string, forwarded?: string) => {
    const headers: Record<string, string> = forwarded === undefined ? {} : { 'X-Forwarded-For': forwarded };
    return (await get({ port, path: `/?a=${address}`, headers })).body;
  };
  assert.equal(await values('10.1.2.3'), 'one none local ');
  assert.equal(await values('10.1.2.4'), 'more none local ');
  assert.equal(await values('10.0.1.9'), 'ten inner local ');
  assert.equal(await values('10.0.2.9'), 'ten ten local ');
  assert.equal(await values('2001:db8::7'), 'documentation none local ');
  assert.equal(await values('::ffff:10.1.2.3'), 'one none local ');
  assert.equal(await values('nonsense'), 'highest none local ');
  assert.equal(await values('9.9.9.9', '198.51.100.1, 192.0.2.1'), 'none none near far');
});

test('what is wrong in a block is told as nginx tells it', async () => {
  assert.equal(
    await complaint('10.0.0.0/8 a b;'),
    'portico: [emerg] invalid number of the geo parameters in FILE:2',
  );
  assert.equal(await complaint('10.0.0/8 a;'), 'portico: [emerg] invalid network "10.0.0/8" in FILE:2');
  assert.equal(
    await complaint('10.0.0.1/8 a;'),
    'portico: [warn] low address bits of 10.0.0.1/8 are meaningless in FILE:2',
  );
  assert.equal(
    await complaint('10.0.0.0/8 a; 10.0.0.0/8 b;'),
    'portico: [warn] duplicate network "10.0.0.0/8", value: "b", old value: "a" in FILE:2',
  );
  assert.equal(await complaint('delete ::/1;'), 'portico: [warn] no network "::/1" to delete in FILE:2');
  assert.equal(
    await complaint('default a; ranges;'),
    'portico: [emerg] the "ranges" directive must be the first directive inside "geo" block in FILE:2',
  );
  assert.equal(
    await complaint('ranges; 10.0.0.2-10.0.0.1 a;'),
    'portico: [emerg] invalid range "10.0.0.2-10.0.0.1" in FILE:2',
  );
  assert.equal(
    await complaint('ranges; 10.0.0.1-10.0.0.9 a; 10.0.0.5-10.0.0.15 b;'),
    'portico: [emerg] range "10.0.0.5-10.0.0.15" overlaps "10.0.0.1-10.0.0.9" in FILE:2',
  );
  assert.equal(
    await complaint('ranges; delete 10.0.0.1-10.0.0.9;'),
    'portico: [warn] no address range "10.0.0.1-10.0.0.9" to delete in FILE:2',
  );
});
