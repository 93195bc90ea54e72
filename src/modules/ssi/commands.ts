/** The SSI commands. */
import type { Exchange } from '../../core/exchange.ts';
import { sendHead } from '../../core/send.ts';
import { startSubrequest } from '../../core/subrequest.ts';
import { parseUnsafeUri } from '../../http/uri.ts';
import { escapeUri } from '../../http/uri-escape.ts';
import { evaluateCondition, evaluateText, evaluateUri, SsiError } from './expression.ts';
import { type FindVariable, type SsiBlock, ssiState, ssiValue } from './state.ts';

/** What a location says of its pages. */
export interface SsiSettings {
  readonly silentErrors: boolean;
  /** Bytes of a parameter's value. */
  readonly valueLength: number;
  readonly find: FindVariable;
}

/** A page on its way through the filter, as commands see and change it. */
export interface SsiPage {
  readonly exchange: Exchange;
  readonly settings: SsiSettings;
  /** `config timefmt`; undefined for the default. */
  timeFormat: string | undefined;
  errorMessage: string;
  /** Of `echo`; stays as the last one has set it. */
  encoding: 'none' | 'url' | 'entity';
  /** Text is part of the answer; false in the branches that are not taken, and in blocks. */
  shows: boolean;
  /** Under `if`: a branch has been taken. */
  chosen: boolean;
  condition: 'none' | 'if' | 'else';
  inBlock: boolean;
  write(text: string): void;
  /** Writes to the error log. */
  report(message: string): void;
  /** The page goes on when all before it is part of the answer. */
  wait(): void;
}

type Values = Readonly<Record<string, string | undefined>>;

interface Command {
  readonly parameters: readonly string[];
  readonly mandatory: readonly string[];
  /** Only after one of these; such a command is carried out although nothing is shown. */
  readonly within?: readonly SsiPage['condition'][];
  readonly endsBlock?: boolean;
  /** @throws SsiError */
  carryOut(page: SsiPage, values: Values): void;
}

/** By name. */
export const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['include', { parameters: ['virtual', 'file', 'wait', 'set', 'stub'], mandatory: [], carryOut: include }],
  ['echo', { parameters: ['var', 'default', 'encoding'], mandatory: ['var'], carryOut: echo }],
  ['config', { parameters: ['errmsg', 'timefmt'], mandatory: [], carryOut: config }],
  ['set', { parameters: ['var', 'value'], mandatory: ['var', 'value'], carryOut: set }],
  ['if', { parameters: ['expr'], mandatory: ['expr'], carryOut: beginIf }],
  ['elif', { parameters: ['expr'], mandatory: ['expr'], within: ['if'], carryOut: choose }],
  ['else', { parameters: [], mandatory: [], within: ['if'], carryOut: otherwise }],
  ['endif', { parameters: [], mandatory: [], within: ['if', 'else'], carryOut: endIf }],
  ['block', { parameters: ['name'], mandatory: ['name'], carryOut: beginBlock }],
  ['endblock', { parameters: [], mandatory: [], endsBlock: true, carryOut: endBlock }],
]);

// ---- include ----

function include(page: SsiPage, { virtual, file, wait, set: variable, stub }: Values): void {
  if (virtual !== undefined && file !== undefined) {
    throw new SsiError(`inclusion may be either virtual="${virtual}" or file="${file}"`);
  }
  const written = virtual ?? file;
  if (written === undefined) throw new SsiError('no parameter in "include" SSI command');
  if (variable !== undefined && stub !== undefined) {
    throw new SsiError('"set" and "stub" cannot be used together in "include" SSI command');
  }
  const waits = file !== undefined || readWait(wait);
  if (wait !== undefined && file !== undefined) {
    throw new SsiError(`"wait" cannot be used with file="${file}"`);
  }
  const { exchange, settings } = page;
  const target = evaluateUri(exchange, written, settings.find);
  const parsed = parseUnsafeUri(target);
  if (parsed === undefined) throw new SsiError(`unsafe URI "${target}" was detected`);
  const block = stub === undefined ? undefined : findBlock(exchange, stub);
  const name = variable?.toLowerCase();
  if (name !== undefined) {
    const { variables } = ssiState(exchange);
    if (!variables.has(name)) variables.set(name, '');
  }
  const started = startSubrequest(exchange, parsed.uri, parsed.args, {
    kind: name === undefined ? 'inline' : 'memory',
    ...(block === undefined
      ? {}
      : { beforeEnd: (subrequest: Exchange) => showBlock(exchange, subrequest, block) }),
    ended(subrequest, body) {
      if (name === undefined || subrequest.response.status >= 300 || body === '') return;
      ssiState(exchange).variables.set(name, body);
    },
  });
  // Why is in the log.
  if (started === undefined) throw new SsiError('');
  if (waits || name !== undefined) page.wait();
}

function readWait(wait: string | undefined): boolean {
  const lower = wait?.toLowerCase();
  if (lower === undefined || lower === 'no') return false;
  if (lower === 'yes') return true;
  throw new SsiError(`invalid value "${wait}" in the "wait" parameter`);
}

function findBlock(exchange: Exchange, name: string): SsiBlock {
  const block = ssiState(exchange).blocks.find((candidate) => candidate.name === name);
  if (block === undefined) throw new SsiError(`"stub"="${name}" for "include" not found`);
  return block;
}

/** Answers with the block where a subrequest has no body of its own. */
function showBlock(parent: Exchange, subrequest: Exchange, block: SsiBlock): boolean {
  if (subrequest.relations!.hasOutput) return false;
  if (!subrequest.headSent) {
    const { response } = subrequest;
    response.status = 200;
    response.contentType = parent.response.contentType;
    response.contentLength = -1;
    sendHead(subrequest);
  }
  if (block.text !== '') subrequest.output.write(block.text);
  return true;
}

// ---- echo, config, set ----

function echo(page: SsiPage, { var: name, default: fallback, encoding }: Values): void {
  const value = ssiValue(page.exchange, name!, page.settings.find) ?? fallback ?? '(none)';
  if (value === '') return;
  if (encoding === 'none' || encoding === 'url' || encoding === 'entity') page.encoding = encoding;
  else if (encoding !== undefined) page.report(`unknown encoding "${encoding}" in the "echo" command`);
  page.write(encode(value, page.encoding));
}

function encode(value: string, encoding: SsiPage['encoding']): string {
  if (encoding === 'none') return value;
  if (encoding === 'url') return escapeUri(value, 'html');
  return value
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function config(page: SsiPage, { errmsg, timefmt }: Values): void {
  if (timefmt !== undefined) page.timeFormat = timefmt;
  if (errmsg !== undefined) page.errorMessage = errmsg;
}

function set(page: SsiPage, { var: name, value }: Values): void {
  const { exchange, settings } = page;
  ssiState(exchange).variables.set(name!.toLowerCase(), evaluateText(exchange, value!, settings.find));
}

// ---- conditions ----

function beginIf(page: SsiPage, values: Values): void {
  if (page.condition !== 'none') throw new SsiError('the "if" command inside the "if" command');
  choose(page, values);
}

function choose(page: SsiPage, { expr }: Values): void {
  if (page.chosen) {
    page.shows = false;
    return;
  }
  page.shows = evaluateCondition(page.exchange, expr!, page.settings.find);
  if (page.shows) page.chosen = true;
  page.condition = 'if';
}

function otherwise(page: SsiPage): void {
  page.shows = !page.chosen;
  page.condition = 'else';
}

function endIf(page: SsiPage): void {
  page.shows = true;
  page.chosen = false;
  page.condition = 'none';
}

// ---- blocks ----

function beginBlock(page: SsiPage, { name }: Values): void {
  ssiState(page.exchange).blocks.push({ name: name!, text: '' });
  page.shows = false;
  page.inBlock = true;
}

function endBlock(page: SsiPage): void {
  page.shows = true;
  page.inBlock = false;
}
