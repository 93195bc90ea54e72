/** The few old browsers that get what others do not: `msie_padding`, `msie_refresh`, `keepalive_disable`, `gzip_disable`. */
import { KnownHeader } from '../http/header-names.ts';
import type { Exchange } from './exchange.ts';

/** Anything else, or no User-Agent at all. */
export const OTHER_BROWSER = 0;
/** Internet Explorer from 7 on, and 6 with the second service pack of Windows XP. */
export const MSIE = 1;
/** Internet Explorer 4 to 6. */
export const MSIE6 = 2;
export const CHROME = 3;
/** Safari on a Mac. */
export const SAFARI = 4;

export type Browser = typeof OTHER_BROWSER | typeof MSIE | typeof MSIE6 | typeof CHROME | typeof SAFARI;

/** Which of them a User-Agent names, by nginx's rules. */
export function browserOf(agent: string): Browser {
  if (agent.includes('Opera')) return OTHER_BROWSER;
  const msie = agent.indexOf('MSIE ');
  if (msie >= 0 && msie + 7 < agent.length) {
    const isOld =
      agent[msie + 6] === '.' &&
      (agent[msie + 5] === '4' ||
        agent[msie + 5] === '5' ||
        (agent[msie + 5] === '6' && !agent.includes('SV1', msie + 8)));
    return isOld ? MSIE6 : MSIE;
  }
  if (agent.includes('Gecko/')) return OTHER_BROWSER;
  if (agent.includes('Chrome/')) return CHROME;
  return agent.includes('Safari/') && agent.includes('Mac OS X') ? SAFARI : OTHER_BROWSER;
}

/** Which of them the client is. */
export function clientBrowser(exchange: Exchange): Browser {
  const agent = exchange.headers.knownValue(KnownHeader.userAgent);
  return agent === undefined ? OTHER_BROWSER : browserOf(agent);
}

/** Internet Explorer, of whatever age. */
export function isMsie(browser: Browser): boolean {
  return browser === MSIE || browser === MSIE6;
}
