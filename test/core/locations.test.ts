import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Statement } from '../../src/config/statement.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import {
  buildLocationTable,
  findLocation,
  isSlashRedirect,
  type LocationEntry,
  type LocationTable,
  parseLocationArguments,
} from '../../src/core/locations.ts';
import { compileRegex } from '../../src/core/regex.ts';
import type { Location } from '../../src/core/site.ts';

/** A location as in a file: its arguments, and what is inside it. */
type Written = string | WrittenBlock;
interface WrittenBlock extends ReadonlyArray<Written> {
  readonly 0: string;
}

/** What the choice looks at of a location; `label` tells them apart. */
interface LabelledLocation extends Location {
  readonly label: string;
}

const line = (args: string): Statement => ({ name: 'location', args: args.split(' '), file: 'x', line: 1 });

function entry(written: Written): LocationEntry {
  const args = typeof written === 'string' ? written : written[0];
  const inner = typeof written === 'string' ? [] : written.slice(1);
  const autoRedirect = args.endsWith(' redirected');
  const statement = line(autoRedirect ? args.slice(0, -' redirected'.length) : args);
  const { modifier, name } = parseLocationArguments(statement);
  const regex = modifier.startsWith('~') ? compileRegex(name, { caseless: modifier === '~*' }) : undefined;
  const nested = inner.length > 0 ? table(inner) : undefined;
  const location = { label: args, name, autoRedirect, nested } as unknown as LabelledLocation;
  return { modifier, name, regex, statement, location };
}

function table(locations: readonly Written[]): LocationTable {
  return buildLocationTable(locations.map(entry));
}

function choose(locations: LocationTable, uri: string): string | undefined {
  const exchange = { uri, captures: undefined } as unknown as Exchange;
  const found = findLocation(exchange, locations) as LabelledLocation | undefined;
  if (found === undefined) return undefined;
  return isSlashRedirect(exchange, found) ? `${found.label}!` : found.label;
}

test('modifier and name may be one word', () => {
  assert.deepEqual(parseLocationArguments(line('=/a')), { modifier: '=', name: '/a' });
  assert.deepEqual(parseLocationArguments(line('^~/a')), { modifier: '^~', name: '/a' });
  assert.deepEqual(parseLocationArguments(line('~*a')), { modifier: '~*', name: 'a' });
  assert.deepEqual(parseLocationArguments(line('~ a')), { modifier: '~', name: 'a' });
  assert.deepEqual(parseLocationArguments(line('@a')), { modifier: '@', name: '@a' });
  assert.throws(() => parseLocationArguments(line('^ a')), { message: 'invalid location modifier "^"' });
});

test('the longest prefix holds, an exact name before it, a pattern instead of it', () => {
  const locations = table([
    '/',
    '= /',
    '/documents/',
    '^~ /images/',
    '~* \\.(gif|jpg)$',
    '~ ^/documents/[0-9]',
  ]);
  assert.equal(choose(locations, '/'), '= /');
  assert.equal(choose(locations, '/index.html'), '/');
  assert.equal(choose(locations, '/documents/a.html'), '/documents/');
  assert.equal(choose(locations, '/images/1.gif'), '^~ /images/');
  assert.equal(choose(locations, '/documents/1.JPG'), '~* \\.(gif|jpg)$');
  assert.equal(choose(locations, '/documents/1'), '~ ^/documents/[0-9]');
});

test('without a match there is no location', () => {
  assert.equal(choose(table([]), '/'), undefined);
  assert.equal(choose(table(['/a', '= /b', '~ ^/c']), '/d'), undefined);
  assert.equal(choose(table(['= /b']), '/bb'), undefined);
});

test('an exact name and the same prefix stand side by side', () => {
  const locations = table(['/a', '= /a', '/a/b', '= /a/b/c']);
  assert.equal(choose(locations, '/a'), '= /a');
  assert.equal(choose(locations, '/ab'), '/a');
  assert.equal(choose(locations, '/a/b/c'), '= /a/b/c');
  assert.equal(choose(locations, '/a/b/cd'), '/a/b');
});

test('inner locations are searched in the one around them, then its own patterns, then those outside', () => {
  const locations = table([
    ['/a/', '/a/b/', '= /a/x', '~ \\.inner$'],
    ['^~ /p/', '/p/q/'],
    ['~ ^/r/', '~ two$', '/r/never'],
    '~ \\.php$',
  ]);
  assert.equal(choose(locations, '/a/1'), '/a/');
  assert.equal(choose(locations, '/a/b/1'), '/a/b/');
  assert.equal(choose(locations, '/a/x'), '= /a/x');
  assert.equal(choose(locations, '/a/b/1.inner'), '~ \\.inner$');
  assert.equal(choose(locations, '/a/b/1.php'), '~ \\.php$');
  assert.equal(choose(locations, '/p/q/1.php'), '/p/q/');
  assert.equal(choose(locations, '/r/one'), '~ ^/r/');
  assert.equal(choose(locations, '/r/two'), '~ two$');
});

test('a proxied name without its slash is redirected, unless it is a location itself', () => {
  const locations = table([
    '/',
    '/a/ redirected',
    '/a-b',
    '/a.c',
    '/b/ redirected',
    '= /b',
    '/c/',
    '~ ^/(a|d)$',
  ]);
  assert.equal(choose(locations, '/a'), '/a/ redirected!');
  assert.equal(choose(locations, '/a/'), '/a/ redirected');
  assert.equal(choose(locations, '/b'), '= /b');
  assert.equal(choose(locations, '/c'), '/');
  assert.equal(choose(locations, '/d'), '~ ^/(a|d)$');
});

test('the same name twice is an error', () => {
  assert.throws(() => table(['/a', '/b', '^~ /a']), { message: 'duplicate location "/a"' });
  assert.throws(() => table(['= /a', '= /a']), { message: 'duplicate location "/a"' });
});

test('a pattern that decides leaves its captures', () => {
  const exchange = { uri: '/u/12', captures: undefined } as unknown as Exchange;
  findLocation(exchange, table(['/', '~ ^/u/(\\d+)']));
  assert.equal(exchange.captures?.[1], '12');
});

test('among any names the choice is the one that looking at all of them gives', () => {
  const name = fc
    .array(fc.constantFrom('/', 'a', 'b', '-', '\xff'), { maxLength: 5 })
    .map((parts) => `/${parts.join('')}`);
  const locations = fc.uniqueArray(fc.tuple(fc.constantFrom('= ', '', '^~ '), name, fc.boolean()), {
    selector: ([modifier, text]) => `${modifier === '= '}${text}`,
    maxLength: 12,
  });
  fc.assert(
    fc.property(locations, fc.array(name, { minLength: 1, maxLength: 6 }), (given, uris) => {
      const written = given.map(([modifier, text, redirects]) => ({
        label: `${modifier}${text}${redirects && text.endsWith('/') ? ' redirected' : ''}`,
        exact: modifier === '= ',
        text,
        redirects: redirects && text.endsWith('/'),
      }));
      const built = table(written.map(({ label }) => label));
      for (const uri of [...uris, ...given.map(([, text]) => text)]) {
        const equal =
          written.find(({ exact, text }) => exact && text === uri) ??
          written.find(({ text }) => text === uri);
        const redirected =
          written.find(({ text, redirects, exact }) => exact && redirects && text === `${uri}/`) ??
          written.find(({ text, redirects }) => redirects && text === `${uri}/`);
        const longest = written
          .filter(({ exact, text }) => !exact && uri.startsWith(text))
          .sort((left, right) => right.text.length - left.text.length)[0];
        const expected = equal?.label ?? (redirected === undefined ? longest?.label : `${redirected.label}!`);
        assert.equal(choose(built, uri), expected, uri);
      }
    }),
    { seed: 5, numRuns: 500 },
  );
});
