import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browserOf, CHROME, MSIE, MSIE6, OTHER_BROWSER, SAFARI } from '../../src/core/browser.ts';

test('browsers that need something of their own are told from their User-Agent', () => {
  for (const [agent, browser] of [
    ['Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)', MSIE6],
    ['Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)', MSIE],
    ['Mozilla/4.0 (compatible; MSIE 5.5; Windows 98)', MSIE6],
    ['Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2)', MSIE],
    ['Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1) Opera 8.0', OTHER_BROWSER],
    ['MSIE ', OTHER_BROWSER],
    [
      'Mozilla/5.0 (Macintosh; Mac OS X 14) AppleWebKit/605 (KHTML, like Gecko) Chrome/120 Safari/537',
      CHROME,
    ],
    [
      'Mozilla/5.0 (Macintosh; Mac OS X 14) AppleWebKit/605 (KHTML, like Gecko) Version/17 Safari/605',
      SAFARI,
    ],
    ['Mozilla/5.0 (iPhone) AppleWebKit/605 (KHTML, like Gecko) Version/17 Safari/605', OTHER_BROWSER],
    ['Mozilla/5.0 (X11; Linux) Gecko/20100101 Firefox/120', OTHER_BROWSER],
    ['curl/8', OTHER_BROWSER],
  ] as const) {
    assert.equal(browserOf(agent), browser, agent);
  }
});
