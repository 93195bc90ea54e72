/** nginx's built-in answers for redirects and errors. */
import { escapeUri } from '../http/uri-escape.ts';
import { PRODUCT } from '../version.ts';
import { CHROME, clientBrowser, isMsie } from './browser.ts';
import type { Exchange } from './exchange.ts';

/** Title and further text of each page, in nginx's words. */
const PAGES: Readonly<Record<number, readonly [title: string, text?: string]>> = {
  301: ['301 Moved Permanently'],
  302: ['302 Found'],
  303: ['303 See Other'],
  307: ['307 Temporary Redirect'],
  308: ['308 Permanent Redirect'],
  400: ['400 Bad Request'],
  401: ['401 Authorization Required'],
  402: ['402 Payment Required'],
  403: ['403 Forbidden'],
  404: ['404 Not Found'],
  405: ['405 Not Allowed'],
  406: ['406 Not Acceptable'],
  408: ['408 Request Time-out'],
  409: ['409 Conflict'],
  410: ['410 Gone'],
  411: ['411 Length Required'],
  412: ['412 Precondition Failed'],
  413: ['413 Request Entity Too Large'],
  414: ['414 Request-URI Too Large'],
  415: ['415 Unsupported Media Type'],
  416: ['416 Requested Range Not Satisfiable'],
  421: ['421 Misdirected Request'],
  425: ['425 Too Early'],
  429: ['429 Too Many Requests'],
  494: ['400 Request Header Or Cookie Too Large', 'Request Header Or Cookie Too Large'],
  495: ['400 The SSL certificate error', 'The SSL certificate error'],
  496: ['400 No required SSL certificate was sent', 'No required SSL certificate was sent'],
  497: ['400 The plain HTTP request was sent to HTTPS port', 'The plain HTTP request was sent to HTTPS port'],
  498: ['404 Not Found'],
  500: ['500 Internal Server Error'],
  501: ['501 Not Implemented'],
  502: ['502 Bad Gateway'],
  503: ['503 Service Temporarily Unavailable'],
  504: ['504 Gateway Time-out'],
  505: ['505 HTTP Version Not Supported'],
  507: ['507 Insufficient Storage'],
};

const FOOTERS = { off: 'portico', on: PRODUCT, build: PRODUCT };
const PADDING = '<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n'.repeat(6);

/**
 * The page of a status; undefined where the status has none.
 * @param padding `msie_padding`: errors for MSIE and Chrome are made long enough to be shown
 */
export function builtInPage(
  exchange: Exchange,
  status: number,
  tokens: 'off' | 'on' | 'build',
  padding: boolean,
): string | undefined {
  const page = PAGES[status];
  if (page === undefined) return undefined;
  const [title, text] = page;
  // The title of 494 to 497 says why; their heading is that of 400.
  const heading = text === undefined ? title : '400 Bad Request';
  const body =
    `<html>\r\n<head><title>${title}</title></head>\r\n<body>\r\n<center><h1>${heading}</h1></center>\r\n` +
    (text === undefined ? '' : `<center>${text}</center>\r\n`) +
    `<hr><center>${FOOTERS[tokens]}</center>\r\n</body>\r\n</html>\r\n`;
  return padding && status >= 400 && exchange.head.version >= 10 && wantsPadding(exchange)
    ? body + PADDING
    : body;
}

function wantsPadding(exchange: Exchange): boolean {
  const browser = clientBrowser(exchange);
  return isMsie(browser) || browser === CHROME;
}

/** `msie_refresh`: the page that sends Internet Explorer to a location, instead of a redirect. */
export function refreshPage(location: string): string {
  const target = escapeUri(location, 'refresh');
  return `<html><head><meta http-equiv="Refresh" content="0; URL=${target}"></head><body></body></html>\r\n`;
}
