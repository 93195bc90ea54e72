import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Entry } from '../../../src/modules/autoindex/entries.ts';
import { htmlListing, jsonListing, xmlListing } from '../../../src/modules/autoindex/formats.ts';

const MODIFIED = 1_000_000_000;
const PLAIN = { utf8: false, exactSize: true, offset: 0 };

function file(name: string, size = 1): Entry {
  return { name, kind: 'file', modified: MODIFIED, size };
}

function directory(name: string): Entry {
  return { name, kind: 'directory', modified: MODIFIED, size: 4096 };
}

/** The lines of a listing between those of the page. */
function lines(entries: readonly Entry[], options = PLAIN): string[] {
  return htmlListing('/', entries, options).split('\r\n').slice(4, -3);
}

test('the page names the directory, escaped', () => {
  assert.equal(
    htmlListing('/a<b>&"', [], PLAIN),
    '<html>\r\n<head><title>Index of /a&lt;b&gt;&amp;&quot;</title></head>\r\n<body>\r\n' +
      '<h1>Index of /a&lt;b&gt;&amp;&quot;</h1><hr><pre><a href="../">../</a>\r\n' +
      '</pre><hr></body>\r\n</html>\r\n',
  );
});

test('a line has the name, the date and the size, each in its column', () => {
  const spaces = (count: number) => ' '.repeat(count);
  assert.deepEqual(lines([directory('d'), file('a b', 42)]), [
    `<a href="d/">d/</a>${spaces(48)} 09-Sep-2001 01:46${spaces(19)}-`,
    `<a href="a%20b">a b</a>${spaces(47)} 09-Sep-2001 01:46${spaces(18)}42`,
  ]);
});

test('a name of more than 50 characters is cut, and one of 50 leaves no room for a slash', () => {
  const shown = (entry: Entry, utf8 = false) =>
    /">(.*<\/a> *) 09-Sep/.exec(lines([entry], { ...PLAIN, utf8 })[0]!)![1];
  assert.equal(shown(file('x'.repeat(50))), `${'x'.repeat(50)}</a>`);
  assert.equal(shown(directory('x'.repeat(50))), `${'x'.repeat(50)}</a>`);
  assert.equal(shown(directory('x'.repeat(49))), `${'x'.repeat(49)}/</a>`);
  assert.equal(shown(file('x'.repeat(51))), `${'x'.repeat(47)}..&gt;</a>`);
  assert.equal(shown(file('<'.repeat(51))), `${'&lt;'.repeat(47)}..&gt;</a>`);
  // Two bytes each, and one place each where the page is UTF-8.
  assert.equal(shown(file('\xc3\xa4'.repeat(49)), true), `${'\xc3\xa4'.repeat(49)}</a> `);
  assert.equal(shown(file('\xc3\xa4'.repeat(51)), true), `${'\xc3\xa4'.repeat(47)}..&gt;</a>`);
  assert.equal(shown(file('\xc3\xa4'.repeat(26))), `${'\xc3\xa4'.repeat(23)}\xc3..&gt;</a>`);
});

test('sizes are exact, or rounded', () => {
  const sizes = (...given: number[]) =>
    lines(
      given.map((size) => file('f', size)),
      { ...PLAIN, exactSize: false },
    ).map((line) => /01:46 (.*)$/.exec(line)![1]);
  const kilo = 1024;
  const mega = kilo * 1024;
  const giga = mega * 1024;
  assert.deepEqual(sizes(0, 9999, 10_000, 10.5 * kilo - 1, 10.5 * kilo), [
    '      0',
    '   9999',
    '    10K',
    '    10K',
    '    11K',
  ]);
  assert.deepEqual(sizes(mega - 1, mega, 1.5 * mega, giga - 1, giga), [
    '  1024K',
    '     1M',
    '     2M',
    '  1024M',
    '     1G',
  ]);
});

test('times are shown in the zone that is asked for', () => {
  assert.match(lines([file('f')], { ...PLAIN, offset: 5400 })[0]!, / 09-Sep-2001 03:16 /);
});

test('JSON and JSONP', () => {
  const list =
    '[\r\n{ "name":"d", "type":"directory", "mtime":"Sun, 09 Sep 2001 01:46:40 GMT" },' +
    '\r\n{ "name":"a\\"b", "type":"file", "mtime":"Sun, 09 Sep 2001 01:46:40 GMT", "size":7 }\r\n]';
  const entries = [directory('d'), file('a"b', 7)];
  assert.equal(jsonListing(entries, undefined), list);
  assert.equal(jsonListing(entries, 'show'), `/* callback */\r\nshow(${list});`);
  assert.equal(jsonListing([], undefined), '[\r\n]');
});

test('XML', () => {
  const other: Entry = { name: 'pipe', kind: 'other', modified: MODIFIED, size: 0 };
  assert.equal(
    xmlListing([directory('d'), file('<', 7), other]),
    '<?xml version="1.0"?>\r\n<list>\r\n' +
      '<directory mtime="2001-09-09T01:46:40Z">d</directory>\r\n' +
      '<file mtime="2001-09-09T01:46:40Z" size="7">&lt;</file>\r\n' +
      '<other mtime="2001-09-09T01:46:40Z">pipe</other>\r\n</list>\r\n',
  );
});

test('whatever a name is made of, JSON can be read, and HTML has no tag of it', () => {
  const name = fc.string({
    unit: fc.integer({ min: 1, max: 126 }).map((code) => String.fromCharCode(code)),
    minLength: 1,
  });
  fc.assert(
    fc.property(name, fc.boolean(), (text, utf8) => {
      assert.deepEqual(JSON.parse(jsonListing([file(text)], undefined))[0].name, text);
      const page = htmlListing('/', [file(text)], { ...PLAIN, utf8 });
      assert.equal(page.split('<').length, htmlListing('/', [file('x')], PLAIN).split('<').length);
    }),
    { seed: 1, numRuns: 500 },
  );
});
