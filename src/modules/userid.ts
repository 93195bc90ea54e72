/** `userid`: every client gets a cookie with a number of its own, so that it is known again. */
import { randomInt } from 'node:crypto';
import type { Scope } from '../config/scope.ts';
import { bits, choice, custom, number, text } from '../config/setters.ts';
import { parseSeconds } from '../config/values.ts';
import type { Exchange } from '../core/exchange.ts';
import { log } from '../core/log.ts';
import { defineModule } from '../core/module.ts';
import type { VariableGetter } from '../core/variables.ts';
import { cookieValue } from '../http/cookies.ts';
import { formatCookieDate } from '../http/dates.ts';
import { NO_ADDRESS, parseIPv4, parseIPv6 } from '../http/ip-address.ts';

const CONTEXTS = ['http', 'server', 'location'];

const OFF = 0;
/** The cookie is looked at, for the log, and none is given. */
const LOG = 1;
const V1 = 2;
const ON = 3;

const SECURE = 4;
const HTTP_ONLY = 8;
const SAME_SITE = 16;
const STRICT = 32;
const LAX = 64;
const NONE = 128;

/** `userid_expires max`: when time ends for 32 bits. */
const MAXIMUM = -1;

/** Bytes of a number. */
const SIZE = 16;
/** Characters of it in base64 without its padding. */
const TEXT_LENGTH = 22;

/** The first value of the sequence, and the least one, that nginx gives in cookies of version 2. */
const FIRST_V2 = 0x03030302;

/** Tells the worker's numbers from those of all others; nginx makes it of its start and its process's number. */
const startValue = randomInt(2 ** 32);
let sequenceV1 = 1;
let sequenceV2 = FIRST_V2;

/** What a location says of its cookies. */
interface UserIdSettings {
  readonly mode: number;
  readonly name: string;
  /** What follows the value, but for the date. */
  readonly attributes: string;
  /** Seconds the cookie is kept; 0: as long as the browser runs; or MAXIMUM. */
  readonly expires: number;
  readonly p3p: string;
  /** A character in the place of the first `=`; '' for none. */
  readonly mark: string;
  /** `userid_service`; -1 for the address of the server. */
  readonly service: number;
  readonly reset: VariableGetter;
}

/** The number of one client. */
interface UserId {
  /** As the client sent it; undefined where it sent none. */
  readonly got: Buffer | undefined;
  /** The cookie's value. */
  readonly cookie: string;
  /** What it is to be given; undefined where it keeps what it has; null as long as that is not decided. */
  given: Buffer | undefined | null;
  /** It is given another one than it had. */
  isNew: boolean;
}

const USER_ID = Symbol('userid');
const settingsByScope = new WeakMap<Scope, UserIdSettings>();

function readUserId(exchange: Exchange, settings: UserIdSettings): UserId {
  const known = exchange.state<UserId>(USER_ID);
  if (known !== undefined) return known;
  const cookie = cookieValue(exchange.headers, settings.name) ?? '';
  const userId: UserId = { got: decode(exchange, cookie), cookie, given: null, isNew: false };
  exchange.setState(USER_ID, userId);
  return userId;
}

function decode(exchange: Exchange, cookie: string): Buffer | undefined {
  if (cookie === '') return undefined;
  if (cookie.length < TEXT_LENGTH) {
    log(exchange, 'error', `client sent too short userid cookie "${exchange.headers.get('cookie')}"`);
    return undefined;
  }
  // What follows may be a mark, or no padding at all.
  const [digits] = cookie.slice(0, TEXT_LENGTH).split('=', 1);
  if (!/^[A-Za-z0-9+/]*$/.test(digits!) || digits!.length % 4 === 1) {
    log(exchange, 'error', `client sent invalid userid cookie "${exchange.headers.get('cookie')}"`);
    return undefined;
  }
  const bytes = Buffer.alloc(SIZE);
  Buffer.from(digits!, 'base64').copy(bytes);
  // Such a number is never given.
  return bytes.readUInt32LE(12) === 0 ? undefined : bytes;
}

/** Decides what the client is given, once. */
function decide(exchange: Exchange, settings: UserIdSettings): UserId {
  const userId = readUserId(exchange, settings);
  if (userId.given !== null) return userId;
  const { got, cookie } = userId;
  if (got !== undefined) {
    const reset = settings.reset(exchange) ?? '';
    if (reset === '' || reset === '0') {
      const isMarked = cookie.length > 23 && cookie[22] === settings.mark && cookie[23] === '=';
      userId.given = settings.mark === '' || isMarked ? undefined : got;
      return userId;
    }
    if (reset === 'log') {
      log(exchange, 'notice', `userid cookie "${settings.name}=${hexadecimal(got)}" was reset`);
    }
  }
  userId.isNew = true;
  userId.given = settings.mode === V1 ? makeV1(settings) : makeV2(exchange, settings);
  return userId;
}

function makeV1({ service }: UserIdSettings): Buffer {
  const bytes = Buffer.allocUnsafe(SIZE);
  bytes.writeUInt32LE(Math.max(service, 0) >>> 0, 0);
  bytes.writeUInt32LE(now(), 4);
  bytes.writeUInt32LE(startValue, 8);
  bytes.writeUInt32LE(sequenceV1, 12);
  sequenceV1 = (sequenceV1 + 0x100) >>> 0;
  return bytes;
}

function makeV2({ connection }: Exchange, { service }: UserIdSettings): Buffer {
  const bytes = Buffer.alloc(SIZE);
  if (service >= 0) bytes.writeUInt32BE(service >>> 0, 0);
  else bytes.writeUInt32BE(lastBytes(connection.localAddress), 0);
  bytes.writeUInt32BE(now(), 4);
  bytes.writeUInt32BE(startValue, 8);
  bytes.writeUInt32BE(sequenceV2, 12);
  sequenceV2 += 0x100;
  if (sequenceV2 >= 2 ** 32) sequenceV2 = FIRST_V2;
  return bytes;
}

/** The last four bytes of an IP address; 0 for a Unix socket. */
function lastBytes(address: string): number {
  const version4 = parseIPv4(address);
  if (version4 !== NO_ADDRESS) return version4;
  return parseIPv6(address, groups) ? groups[6]! * 65_536 + groups[7]! : 0;
}

const groups = new Uint16Array(8);

function now(): number {
  return Math.floor(Date.now() / 1000);
}

function setCookie(exchange: Exchange, settings: UserIdSettings): void {
  const { given, cookie, isNew } = decide(exchange, settings);
  if (given === undefined || given === null) return;
  const { mark, expires } = settings;
  let value: string;
  if (isNew) {
    value = given.toString('base64');
    if (mark !== '') value = `${value.slice(0, TEXT_LENGTH)}${mark}=`;
  } else value = `${cookie.slice(0, TEXT_LENGTH)}${mark}=`;
  const date =
    expires === 0
      ? ''
      : `; expires=${expires === MAXIMUM ? 'Thu, 31-Dec-37 23:55:55 GMT' : formatCookieDate(now() + expires)}`;
  const { response } = exchange;
  response.fields += `Set-Cookie: ${settings.name}=${value}${date}${settings.attributes}\r\n`;
  if (settings.p3p !== '') response.fields += `P3P: ${settings.p3p}\r\n`;
}

/** As nginx shows it: four words, as this kind of machine reads them. */
function hexadecimal(bytes: Buffer): string {
  let shown = '';
  for (let offset = 0; offset < SIZE; offset += 4) {
    shown += bytes.readUInt32LE(offset).toString(16).toUpperCase().padStart(8, '0');
  }
  return shown;
}

function gotText(exchange: Exchange): string | undefined {
  const settings = settingsByScope.get(exchange.location.scope);
  if (settings === undefined) return undefined;
  const { got } = readUserId(exchange, settings);
  return got === undefined ? undefined : `${settings.name}=${hexadecimal(got)}`;
}

function givenText(exchange: Exchange): string | undefined {
  const settings = settingsByScope.get(exchange.location.scope);
  if (settings === undefined || settings.mode < V1) return undefined;
  const { given } = decide(exchange, settings);
  return given === undefined || given === null ? undefined : `${settings.name}=${hexadecimal(given)}`;
}

export const userid = defineModule({
  name: 'http_userid_filter',
  directives: {
    userid: choice(CONTEXTS, { off: OFF, log: LOG, v1: V1, on: ON }, OFF),
    userid_service: number(CONTEXTS, -1),
    userid_name: text(CONTEXTS, 'uid'),
    userid_domain: text(CONTEXTS, 'none'),
    userid_path: text(CONTEXTS, '/'),
    userid_expires: custom(
      CONTEXTS,
      [1, 1],
      0,
      ({ args: [word] }, previous: number | undefined, report) => {
        if (previous !== undefined) report.failDirective('is duplicate');
        if (word === 'max') return MAXIMUM;
        return word === 'off' ? 0 : (parseSeconds(word!) ?? report.failDirective('invalid value'));
      },
      { syntax: 'time | max | off', defaultText: 'off' },
    ),
    userid_flags: bits(
      CONTEXTS,
      {
        off: 2,
        secure: SECURE,
        httponly: HTTP_ONLY,
        'samesite=strict': SAME_SITE | STRICT,
        'samesite=lax': SAME_SITE | LAX,
        'samesite=none': SAME_SITE | NONE,
      },
      2,
    ),
    userid_p3p: text(CONTEXTS, 'none'),
    userid_mark: custom(
      CONTEXTS,
      [1, 1],
      '',
      ({ args: [word] }, previous: string | undefined, report) => {
        if (previous !== undefined) report.failDirective('is duplicate');
        if (word === 'off') return '';
        if (!/^[0-9A-Za-z=]$/.test(word!)) {
          report.failDirective('value must be "off" or a single letter, digit or "="');
        }
        return word!;
      },
      { syntax: 'letter | digit | = | off', defaultText: 'off' },
    ),
  },
  variables: {
    uid_got: { get: gotText, cached: true },
    uid_set: { get: givenText, cached: true },
    uid_reset: { get: () => '', changeable: true },
  },
  location(settings, scope, link) {
    if (settings.userid === OFF) return undefined;
    const { userid_domain: domain, userid_flags: flags, userid_p3p: p3p } = settings;
    const reset = link.variables.lookup('uid_reset');
    const compiled: UserIdSettings = {
      mode: settings.userid,
      name: settings.userid_name,
      attributes:
        (domain === 'none' ? '' : `; domain=${domain}`) +
        `; path=${settings.userid_path}` +
        ((flags & SECURE) === 0 ? '' : '; secure') +
        ((flags & HTTP_ONLY) === 0 ? '' : '; httponly') +
        ((flags & STRICT) === 0 ? '' : '; samesite=strict') +
        ((flags & LAX) === 0 ? '' : '; samesite=lax') +
        ((flags & NONE) === 0 ? '' : '; samesite=none'),
      expires: settings.userid_expires,
      p3p: p3p === 'none' ? '' : p3p,
      mark: settings.userid_mark,
      service: settings.userid_service,
      reset: (exchange) => reset.get(exchange),
    };
    settingsByScope.set(scope, compiled);
    if (compiled.mode < V1) return undefined;
    return { headerFilter: (exchange) => setCookie(exchange, compiled) };
  },
});
