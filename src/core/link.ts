/**
 * Linking: turns the scopes of a configuration into the site a request walks through: closures and tables. The
 * master's check and every worker run the same code.
 */
import type { Scope } from '../config/scope.ts';
import { ConfigError, type Statement, type Warning } from '../config/statement.ts';
import { NAMED_METHODS } from '../http/methods.ts';
import { holdDebugging } from '../log/debugging.ts';
import { createErrorLog, type ErrorLog, NO_ERROR_LOG, type OwnedErrorLog } from '../log/error-log.ts';
import { compileErrorPages, type ErrorPages } from './error-pages.ts';
import { eventsDirectives, linkDebugConnections } from './events.ts';
import { linkSymlinkPolicy } from './file-directives.ts';
import { linkDocumentRoot } from './file-path.ts';
import { finalize } from './finalize.ts';
import { coreDirectives } from './http-core.ts';
import { linkListeners } from './link-listeners.ts';
import { buildLocationTable, type LocationEntry, parseLocationArguments, readLocation } from './locations.ts';
import { errorLogTargets, resolveErrorLogServers } from './main.ts';
import { mimeTable } from './mime-types.ts';
import type { Module } from './module.ts';
import type { LocationHandlers, PhaseHandler } from './phases.ts';
import { compileRegex, type Regex } from './regex.ts';
import { run } from './run.ts';
import type { Runtime } from './runtime.ts';
import { primaryServerName, readServerNames } from './server-names.ts';
import type { Location, Server, Site } from './site.ts';
import type { TempPath } from './temp-file.ts';
import { compileTemplate, type Template } from './template.ts';
import { VariableRegistry } from './variables.ts';

/** What linking offers to the modules. */
export interface Link {
  readonly runtime: Runtime;
  readonly variables: VariableRegistry;
  /** Compiles a value with variables; `text` is one of the statement's arguments. */
  template(statement: Statement, text: string): Template;
  /** Compiles a regular expression; its named groups become variables. */
  regex(statement: Statement, pattern: string, caseless: boolean): Regex;
  /** Links a pseudo-location (`if`) of the location or server that is being linked. */
  location(scope: Scope): Location;
  /** Something that takes its time, such as resolving a name: done after all has been linked, in order. */
  defer(task: () => Promise<void>): void;
  /** Something to be done when this configuration is let go. */
  onClose(task: () => void): void;
  warn(statement: Statement, message: string): void;
  /** The error log of the main context: for what is about no request. */
  readonly mainErrorLog: ErrorLog;
  /** The error log that holds in a scope. */
  errorLog(scope: Scope): ErrorLog;
  /** A module's own state of this linking, made on first use. */
  state<State>(key: symbol, create: () => State): State;
  /** A file name made absolute: relative ones start at the prefix. */
  path(name: string): string;
}

/** The module-independent part of what linking yields, while it is being made. */
type Draft<Made> = { -readonly [Key in keyof Made]: Made[Key] };

/**
 * Links a checked configuration.
 * @param main the main scope; without an `http` block the site listens nowhere
 * @param modules in the order of their handlers
 * @param warn hears of what is questionable but usable
 * @throws ConfigError for the first error
 */
export async function linkSite(
  main: Scope,
  modules: readonly Module[],
  runtime: Runtime,
  warn: (warning: Warning) => void = () => {},
): Promise<Site> {
  const linker = new Linker(modules, runtime, warn);
  try {
    return await linker.link(main);
  } catch (error) {
    linker.close();
    throw error;
  }
}

class Linker implements Link {
  readonly runtime: Runtime;
  readonly variables: VariableRegistry;
  private readonly modules: readonly Module[];
  private readonly report: (warning: Warning) => void;
  private readonly deferred: (() => Promise<void>)[] = [];
  private readonly closers: (() => void)[] = [];
  private readonly states = new Map<symbol, unknown>();
  private readonly errorLogs = new Map<unknown, OwnedErrorLog>();
  mainErrorLog: ErrorLog = NO_ERROR_LOG;
  private readonly errorPages = new Map<readonly Statement[], ErrorPages | undefined>();

  constructor(modules: readonly Module[], runtime: Runtime, report: (warning: Warning) => void) {
    this.modules = modules;
    this.runtime = runtime;
    this.report = report;
    this.variables = new VariableRegistry(modules.map((module) => module.variables ?? {}));
  }

  async link(main: Scope): Promise<Site> {
    const resolve = (host: string) => this.runtime.resolve(host);
    await resolveErrorLogServers(main, resolve);
    const events = main.children('events')[0];
    const debugConnections = await linkDebugConnections(
      events?.settings(eventsDirectives).debug_connection ?? [],
      resolve,
    );
    if (debugConnections !== undefined) this.onClose(holdDebugging());
    const http = main.children('http')[0];
    const postRead: PhaseHandler[] = [];
    const errorLog = this.errorLog(main);
    this.mainErrorLog = errorLog;
    const site: Site = {
      runtime: this.runtime,
      listeners: [],
      postRead,
      errorLog,
      debugConnections,
      run,
      finalize,
      draining: false,
      users: 0,
      onUnused: undefined,
      close: () => this.close(),
    };
    if (http === undefined) return site;
    for (const module of this.modules) {
      const handlers = module.http?.(http.settings(module.directives), http, this);
      if (handlers?.postRead !== undefined) postRead.push(handlers.postRead);
    }
    const servers = http.children('server').map((scope) => this.linkServer(scope));
    site.listeners = await linkListeners(servers, events?.settings(eventsDirectives).use ?? 'node', this);
    this.variables.complete();
    for (const task of this.deferred) await task();
    return site;
  }

  close(): void {
    for (const task of this.closers.splice(0)) task();
    for (const log of this.errorLogs.values()) log.close();
    this.errorLogs.clear();
  }

  // ---- for modules ----

  template(statement: Statement, text: string): Template {
    return compileTemplate(text, this.variables, statement);
  }

  regex(statement: Statement, pattern: string, caseless: boolean): Regex {
    return compileRegex(pattern, { caseless, statement, variables: this.variables });
  }

  location(scope: Scope): Location {
    const outer = scope.parent?.statement;
    const name = outer?.name === 'location' ? parseLocationArguments(outer).name : '';
    return this.linkLocation(scope, { name, exact: false, named: false });
  }

  defer(task: () => Promise<void>): void {
    this.deferred.push(task);
  }

  onClose(task: () => void): void {
    this.closers.push(task);
  }

  warn(statement: Statement, message: string): void {
    this.report({ statement, message });
  }

  state<State>(key: symbol, create: () => State): State {
    let state = this.states.get(key) as State | undefined;
    if (state === undefined) {
      state = create();
      this.states.set(key, state);
    }
    return state;
  }

  path(name: string): string {
    return name.startsWith('/') ? name : this.runtime.prefix + name;
  }

  errorLog(scope: Scope): ErrorLog {
    // The list of targets is one object for all the scopes that share it.
    const targets = errorLogTargets(scope, this.runtime.prefix);
    if (targets === undefined) return this.runtime.worker < 0 ? NO_ERROR_LOG : this.runtime.errorLog;
    let log = this.errorLogs.get(targets);
    if (log === undefined) {
      log = createErrorLog(targets, this.runtime.files, { trouble: () => this.mainErrorLog });
      this.errorLogs.set(targets, log);
    }
    return log;
  }

  // ---- servers and locations ----

  private linkServer(scope: Scope): Server {
    const settings = scope.settings(coreDirectives);
    const serverRewrite: PhaseHandler[] = [];
    const names = readServerNames(settings.server_name, this);
    const server: Draft<Server> = {
      name: primaryServerName(names),
      names,
      settings,
      scope,
      errorLog: this.errorLog(scope),
      locations: buildLocationTable([]),
      namedLocations: new Map(),
      location: undefined as unknown as Location,
      earlyBody: settings.client_body_early_read?.args.map((text) =>
        this.template(settings.client_body_early_read!, text),
      ),
      serverRewrite,
      tls: undefined,
    };
    for (const module of this.modules) {
      const handlers = module.server?.(scope.settings(module.directives), scope, this);
      if (handlers?.serverRewrite !== undefined) serverRewrite.push(handlers.serverRewrite);
      if (handlers?.tls !== undefined) server.tls = handlers.tls;
    }
    server.location = this.linkLocation(scope, { name: '', exact: false, named: false });
    const named = new Map<string, Location>();
    server.locations = buildLocationTable(this.linkLocations(scope, named));
    server.namedLocations = named;
    return server;
  }

  private linkLocations(outer: Scope, named: Map<string, Location>): LocationEntry[] {
    const entries: LocationEntry[] = [];
    for (const scope of outer.children('location')) {
      const { modifier, name, regex } = readLocation(scope, this);
      const location = this.linkLocation(scope, { name, exact: modifier === '=', named: modifier === '@' });
      const inner = this.linkLocations(scope, named);
      if (inner.length > 0) location.nested = buildLocationTable(inner);
      if (modifier === '@') {
        // Of two with one name nginx takes the first.
        if (!named.has(name)) named.set(name, location);
      } else entries.push({ location, modifier, name, regex, statement: scope.statement! });
    }
    return entries;
  }

  private linkLocation(
    scope: Scope,
    identity: { readonly name: string; readonly exact: boolean; readonly named: boolean },
  ): Location {
    const settings = scope.settings(coreDirectives);
    const pseudo = scope.context !== 'location' && scope.context !== 'server';
    const location: Location = {
      ...identity,
      pseudo,
      settings,
      scope,
      nested: undefined,
      autoRedirect: false,
      limitExcept: undefined,
      errorLog: this.errorLog(scope),
      errorPages: this.linkErrorPages(settings.error_page),
      documentRoot: linkDocumentRoot(scope, (at, text) => this.template(at, text), this.runtime.prefix),
      symlinks: linkSymlinkPolicy(settings.disable_symlinks, this),
      types: mimeTable(settings.types),
      tempPath: this.tempPath(settings.client_body_temp_path?.args ?? ['client_body_temp']),
      rewrite: [],
      preaccess: [],
      access: [],
      precontent: [],
      handler: undefined,
      content: [],
      log: [],
      headerFilters: [],
      innerHeaderFilters: [],
      epilogue: undefined,
    };
    const contributions: LocationHandlers[] = [];
    for (const module of this.modules) {
      const handlers = module.location?.(scope.settings(module.directives), scope, this);
      if (handlers !== undefined) contributions.push(handlers);
    }
    location.rewrite = collect(contributions, 'rewrite');
    location.preaccess = collect(contributions, 'preaccess');
    location.access = collect(contributions, 'access');
    location.precontent = collect(contributions, 'precontent');
    location.content = collect(contributions, 'content');
    location.log = collect(contributions, 'log');
    location.headerFilters = collect(contributions, 'headerFilter');
    location.innerHeaderFilters = collect(
      contributions.filter(({ filtersSubrequests }) => filtersSubrequests),
      'headerFilter',
    );
    location.epilogue = collect(contributions, 'epilogue')[0];
    for (const { handler, autoRedirect } of contributions) {
      if (handler !== undefined) location.handler = handler;
      if (autoRedirect && identity.name.endsWith('/')) location.autoRedirect = true;
    }
    const limitExcept = scope.context === 'location' ? scope.children('limit_except')[0] : undefined;
    if (limitExcept !== undefined) {
      location.limitExcept = {
        methods: readMethods(limitExcept.statement!),
        location: this.linkLocation(limitExcept, identity),
      };
    }
    return location;
  }

  private linkErrorPages(statements: readonly Statement[]): ErrorPages | undefined {
    if (!this.errorPages.has(statements)) {
      this.errorPages.set(statements, compileErrorPages(statements, this.variables));
    }
    return this.errorPages.get(statements);
  }

  private tempPath([directory, ...levels]: readonly string[]): TempPath {
    return { directory: this.path(directory!), levels: levels.map(Number) };
  }
}

function collect<Phase extends keyof LocationHandlers>(
  contributions: readonly LocationHandlers[],
  phase: Phase,
): NonNullable<LocationHandlers[Phase]>[] {
  const handlers: NonNullable<LocationHandlers[Phase]>[] = [];
  for (const contribution of contributions) {
    const handler = contribution[phase];
    if (handler !== undefined) handlers.push(handler as NonNullable<LocationHandlers[Phase]>);
  }
  return handlers;
}

/** `limit_except GET`: allowing GET allows HEAD. */
function readMethods(statement: Statement): ReadonlySet<string> {
  const methods = new Set<string>();
  for (const word of statement.args) {
    const method = word.toUpperCase();
    if (!NAMED_METHODS.includes(method)) throw new ConfigError(`invalid method "${word}"`, { statement });
    methods.add(method);
    if (method === 'GET') methods.add('HEAD');
  }
  return methods;
}
