import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { glibcVersion, isNewEnough, OWN_NAME, prepare, removeNeed } from '../../scripts/prepare-uws.ts';
import { loadUws } from '../../src/engines/uws/native.ts';

const installed = fileURLToPath(new URL('../../node_modules/uWebSockets.js', import.meta.url));
/** Of another architecture, so that no set-up has changed it. */
const FOREIGN = `uws_linux_${process.arch === 'arm64' ? 'x64' : 'arm64'}_137.node`;

/** A folder with a binary in it. */
function plant(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'portico-uws-'));
  context.after(() => rmSync(folder, { recursive: true }));
  cpSync(join(installed, FOREIGN), join(folder, FOREIGN));
  return folder;
}

describe('the preparation of uWebSockets.js', () => {
  it('takes the need for a new glibc away, once', (context) => {
    const folder = plant(context);
    const path = join(folder, FOREIGN);
    const before = readFileSync(path);
    const { changed, reason } = prepare(folder, '2.36', FOREIGN);
    assert.equal(changed, true, reason);
    assert.match(reason, /__isoc23_strtol, __isoc23_strtoul/);
    const after = readFileSync(path);
    assert.equal(after.length, before.length);
    let differences = 0;
    for (let index = 0; index < after.length; index++) if (after[index] !== before[index]) differences++;
    assert.ok(differences > 0 && differences < 20, `${differences} bytes differ`);
    assert.equal(statSync(path).mode & 0o777, 0o755);

    assert.equal(prepare(folder, '2.36', FOREIGN).changed, false);
    assert.deepEqual(readFileSync(path), after);
    assert.deepEqual(readdirSync(folder), [FOREIGN]);
  });

  it('touches nothing where the system is new enough, or has another C library', (context) => {
    const folder = plant(context);
    const before = readFileSync(join(folder, FOREIGN));
    for (const version of ['2.38', '2.41', '3.0', undefined]) {
      assert.equal(prepare(folder, version, FOREIGN).changed, false);
    }
    assert.deepEqual(readFileSync(join(folder, FOREIGN)), before);
  });

  it('touches no file that it does not know', (context) => {
    const folder = plant(context);
    const path = join(folder, FOREIGN);
    const other = readFileSync(path);
    other[other.length - 1]! ^= 1;
    writeFileSync(path, other);
    assert.equal(prepare(folder, '2.36', FOREIGN).changed, false);
    assert.deepEqual(readFileSync(path), other);
    assert.equal(prepare(folder, '2.36', 'uws_linux_x64_999.node').changed, false);
    assert.equal(prepare(join(folder, 'none'), '2.36', FOREIGN).changed, false);
  });

  it('refuses what is no such binary', () => {
    assert.throws(() => removeNeed(Buffer.alloc(64)), /not an ELF file/);
    const changed = readFileSync(join(installed, FOREIGN));
    removeNeed(changed);
    assert.deepEqual(removeNeed(changed), [], 'nothing asks for the new names any more');
  });

  it('knows which versions of glibc are new enough', () => {
    assert.deepEqual(['2.17', '2.36', '2.38', '2.39', '3.0'].map(isNewEnough), [
      false,
      false,
      true,
      true,
      true,
    ]);
  });

  it('has made it load here', { skip: glibcVersion() === undefined && 'there is no glibc here' }, () => {
    assert.ok(readdirSync(installed).includes(OWN_NAME));
    const app = loadUws().App();
    assert.equal(typeof app.getDescriptor(), 'number');
    app.close();
  });
});
