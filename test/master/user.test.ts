import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, readFileSync, renameSync } from 'node:fs';
import { test } from 'node:test';
import { userId } from '../../src/master/accounts.ts';
import { get } from '../support/client.ts';
import { crashable, createSandbox, startPortico } from '../support/portico.ts';
import { freePort } from '../support/ports.ts';

const root = process.geteuid?.() === 0;
const nobody = userId('nobody');
const group = 'root';

/** A sandbox that `nobody` can work in. */
function openSandbox() {
  const sandbox = createSandbox();
  chmodSync(sandbox.directory, 0o777);
  chmodSync(sandbox.path('conf'), 0o777);
  chmodSync(sandbox.path('logs'), 0o777);
  return sandbox;
}

test('accounts are looked up as the system does', () => {
  assert.equal(userId('root'), 0);
  assert.equal(userId('no-such-user-here'), undefined);
});

test('the whole process becomes the user, once its sockets are open', {
  skip: !root && 'only for root',
}, async () => {
  using sandbox = openSandbox();
  const port = await freePort();
  // 443 of a loopback address of our own: a port that takes root's rights.
  const privileged = '127.77.3.9:443';
  const http = `server { listen 127.0.0.1:${port}; listen ${privileged}; location / { return 200 hello; } }`;
  await using portico = await startPortico({
    sandbox,
    http,
    workers: 2,
    main: `user nobody ${group};`,
    environment: crashable(sandbox.path('crash')),
  });
  const status = readFileSync(`/proc/${portico.pid}/status`, 'latin1');
  assert.match(status, new RegExp(`^Uid:\\s+${nobody}\\s+${nobody}\\s+${nobody}\\s+${nobody}$`, 'm'));
  assert.equal((await get(port)).body, 'hello');
  assert.equal((await get({ host: '127.77.3.9', port: 443 })).body, 'hello');

  // Nothing changes for what is open, and what would take root's rights is refused.
  assert.equal(await portico.reload(), 'done');
  portico.configure({ http: http.replace(privileged, '127.77.3.9:444') });
  assert.equal(await portico.reload(), 'failed');
  assert.match(
    portico.errorLog(),
    /\[emerg\] .*bind\(\) to 127\.77\.3\.9:444 failed \(13: Permission denied\)/,
  );
  portico.configure({ http, main: 'user daemon;' });
  assert.equal(await portico.reload(), 'failed');
  assert.match(portico.errorLog(), /\[emerg\] .*running as "nobody" and cannot become anybody else/);

  // A worker that is replaced listens where it can.
  await new Promise((resolve) => setTimeout(resolve, 1100));
  const from = portico.errorLog().length;
  sandbox.write('crash.coming', '');
  chownSync(sandbox.path('crash.coming'), nobody!, -1);
  renameSync(sandbox.path('crash.coming'), sandbox.path('crash'));
  await portico.logged(/start worker \d /, from);
  assert.match(
    portico.errorLog().slice(from),
    /\[emerg\] .*bind\(\) to 127\.77\.3\.9:443 failed \(13: Permission denied\) in worker/,
  );
  assert.doesNotMatch(portico.errorLog().slice(from), new RegExp(`127\\.0\\.0\\.1:${port} failed`));
  for (let count = 0; count < 10; count++) {
    assert.equal((await get(port)).body, 'hello');
    assert.equal((await get({ host: '127.77.3.9', port: 443 })).body, 'hello');
  }
  assert.equal((await portico.stop('SIGQUIT')).code, 0);
});

test('an unknown user is an error', { skip: !root && 'only for root' }, async () => {
  await using portico = await startPortico({ main: 'user no-such-user;', expectFailure: true });
  const { code, stderr } = await portico.ended;
  assert.equal(code, 1);
  assert.match(stderr, /\[emerg\] getpwnam\("no-such-user"\) failed in .*portico\.conf:\d+\n$/);
});

test('a worker that is replaced has the certificates that only root may read', {
  skip: !root && 'only for root',
}, async () => {
  using sandbox = openSandbox();
  const request = ['req', '-x509', '-nodes', '-newkey', 'rsa:2048', '-days', '2', '-subj', '/CN=here'];
  const secrets = ['cert.pem', 'key.pem', 'passwords'].map((name) => sandbox.path(`conf/${name}`));
  execFileSync('openssl', [...request, '-keyout', secrets[1]!, '-out', secrets[0]!], { stdio: 'ignore' });
  sandbox.write('conf/passwords', 'secret\n');
  for (const name of secrets) chmodSync(name, 0o600);
  const port = await freePort();
  const backend = await freePort();
  await using portico = await startPortico({
    sandbox,
    http: `
      server {
        listen 127.0.0.1:${backend} ssl;
        ssl_certificate cert.pem; ssl_certificate_key key.pem;
        ssl_verify_client on; ssl_client_certificate cert.pem;
        location / { return 200 "$ssl_client_verify"; }
      }
      server {
        listen 127.0.0.1:${port};
        location / {
          proxy_pass https://127.0.0.1:${backend};
          proxy_ssl_certificate cert.pem; proxy_ssl_certificate_key key.pem; proxy_ssl_password_file passwords;
          proxy_ssl_verify on; proxy_ssl_trusted_certificate cert.pem; proxy_ssl_name here;
        }
      }`,
    main: `user nobody ${group};`,
    environment: crashable(sandbox.path('crash')),
  });
  assert.equal((await get(port)).body, 'SUCCESS');

  await new Promise((resolve) => setTimeout(resolve, 1100));
  const from = portico.errorLog().length;
  sandbox.write('crash.coming', '');
  chownSync(sandbox.path('crash.coming'), nobody!, -1);
  renameSync(sandbox.path('crash.coming'), sandbox.path('crash'));
  await portico.logged(/start worker \d /, from);
  assert.equal((await get(port)).body, 'SUCCESS');

  // A reload reads them anew, as the user the process has become, and changes nothing where that fails.
  assert.equal(await portico.reload(), 'failed');
  await portico.logged(
    /\[emerg\] .*cannot load certificate ".*cert\.pem": BIO_new_file\(\) failed .*Permission denied/,
  );
  assert.equal((await get(port)).body, 'SUCCESS');
  for (const name of secrets) chownSync(name, nobody!, -1);
  assert.equal(await portico.reload(), 'done');
  assert.equal((await get(port)).body, 'SUCCESS');
});
