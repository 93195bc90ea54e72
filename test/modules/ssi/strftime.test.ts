import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { strftime } from '../../../src/modules/ssi/strftime.ts';
import { parseZoneFile } from '../../../src/modules/ssi/zone-name.ts';

const FORMATS = [
  '%A %a %B %b %C %d %D %e %F %g %G %h %H %I %j %k %l %m %M %n %p %P %r %R %s %S %t %T %u %U %V %w %W %y %Y %z %%',
  '%_d %-d %05d %^a %_H %-m %010Y %-j %3S',
  '%x|%X|%Ey|%Oy',
];

test('formats are those of the C library', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), (seconds) => {
      for (const format of FORMATS) {
        const expected = execFileSync('date', ['-u', '-d', `@${seconds}`, `+${format}`], {
          encoding: 'latin1',
          env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
        });
        assert.equal(`${strftime(format, seconds * 1000, true)}\n`, expected);
      }
    }),
    { seed: 5, numRuns: 60 },
  );
});

test('UTC is called GMT, and what is no conversion stays', () => {
  assert.equal(strftime('%Z %z %Q %E %', 0, true), 'GMT +0000 %Q %E %');
  assert.equal(strftime('', 0, true), '');
});

test('the local time has the zone and the name of the system', () => {
  for (const zone of ['Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'UTC']) {
    for (const seconds of [1_700_000_000, 1_720_000_000, 2_000_000_000]) {
      const environment = { ...process.env, LC_ALL: 'C', TZ: zone };
      const expected = execFileSync('date', ['-d', `@${seconds}`, '+%c %z %Z'], {
        encoding: 'latin1',
        env: environment,
      });
      const module = new URL('../../../src/modules/ssi/strftime.ts', import.meta.url).href;
      const script = `import { strftime } from '${module}'; console.log(strftime('%c %z %Z', ${seconds * 1000}, false));`;
      const ours = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
        encoding: 'latin1',
        env: environment,
      });
      assert.equal(ours, expected, `${zone} ${seconds}`);
    }
  }
});

test('a file that is no zone has no names', () => {
  assert.deepEqual(parseZoneFile(Buffer.from('nothing')), []);
  assert.throws(() => parseZoneFile(Buffer.from('TZif2')), RangeError);
});
