/**
 * The linked configuration: what a request looks at instead of configuration text. Made by `link.ts`, immutable
 * once linked, and shared by all requests of one worker until a reload puts another in its place.
 */
import type { Settings } from '../config/directive.ts';
import type { Scope } from '../config/scope.ts';
import type { AddressMatcher } from '../http/cidr.ts';
import type { RequestHeadLimits } from '../http/request-head.ts';
import type { ErrorLog } from '../log/error-log.ts';
import type { EngineName } from './engine-name.ts';
import type { ErrorPages } from './error-pages.ts';
import type { Exchange } from './exchange.ts';
import type { SymlinkPolicy } from './file-directives.ts';
import type { DocumentRoot } from './file-path.ts';
import type { CoreDirectives } from './http-core.ts';
import type { ListenAddress } from './listen.ts';
import type { LocationTable } from './locations.ts';
import type { MimeTable } from './mime-types.ts';
import type { PhaseHandler, PhaseResult } from './phases.ts';
import type { Runtime } from './runtime.ts';
import type { ServerName, ServerNames } from './server-names.ts';
import type { TempPath } from './temp-file.ts';
import type { Template } from './template.ts';
import type { ServerTls } from './tls.ts';

/** One `location`, one `if` or `limit_except` inside one, or what a server does where no location matches. */
export interface Location {
  /** The prefix or pattern as written; '' for the server's own. */
  readonly name: string;
  readonly exact: boolean;
  /** A pseudo-location: `if`, `limit_except`. */
  readonly pseudo: boolean;
  readonly named: boolean;
  readonly settings: Settings<CoreDirectives>;
  readonly scope: Scope;
  /** Locations inside this one; undefined where there are none. */
  nested: LocationTable | undefined;
  /** A request for the name without its closing slash is redirected to the name (a proxied location). */
  autoRedirect: boolean;
  /** `limit_except`: the location that holds for the methods it does not name. */
  limitExcept: { readonly methods: ReadonlySet<string>; readonly location: Location } | undefined;
  readonly errorLog: ErrorLog;
  readonly errorPages: ErrorPages | undefined;
  readonly documentRoot: DocumentRoot;
  /** `disable_symlinks`; undefined where it is off. */
  readonly symlinks: SymlinkPolicy | undefined;
  readonly types: MimeTable;
  /** `client_body_temp_path`. */
  readonly tempPath: TempPath;
  // Handlers by phase, in module order; empty where the phase has none.
  rewrite: readonly PhaseHandler[];
  preaccess: readonly PhaseHandler[];
  access: readonly PhaseHandler[];
  precontent: readonly PhaseHandler[];
  /** The content handler; undefined: that of what is around an `if`, or the handlers of `content`. */
  handler: PhaseHandler | undefined;
  content: readonly PhaseHandler[];
  log: readonly ((exchange: Exchange) => void)[];
  headerFilters: readonly ((exchange: Exchange) => void)[];
  /** Of these, the ones for subrequests. */
  innerHeaderFilters: readonly ((exchange: Exchange) => void)[];
  epilogue: ((exchange: Exchange) => void) | undefined;
}

/** One `server` block. */
export interface Server {
  /** The first `server_name`, for `$server_name` and the log. */
  readonly name: string;
  /** All of them. */
  readonly names: readonly ServerName[];
  readonly settings: Settings<CoreDirectives>;
  readonly scope: Scope;
  readonly errorLog: ErrorLog;
  locations: LocationTable;
  namedLocations: ReadonlyMap<string, Location>;
  /** The server's own settings as a location: for requests that match none, and before one is chosen. */
  location: Location;
  /** `client_body_early_read`; undefined where no body is read early. */
  readonly earlyBody: readonly Template[] | undefined;
  serverRewrite: readonly PhaseHandler[];
  tls: ServerTls | undefined;
}

/** The servers that share one address and port. */
export interface VirtualServers {
  readonly default: Server;
  /** Undefined where the address has one server and no names to choose by. */
  readonly names: ServerNames | undefined;
  /** The limits for request heads of the server a host belongs to; undefined where all servers have the same. */
  readonly limitsOf: ((host: string) => RequestHeadLimits) | undefined;
  /** `listen ... ssl`. */
  readonly ssl: boolean;
}

/** One socket to listen on. */
export interface Listener {
  /** With its engine. */
  readonly address: ListenAddress & { readonly engine: EngineName };
  /** Every server that may be asked here. */
  readonly all: readonly Server[];
  /** The servers by local address, where one wildcard socket serves several; else `servers`. */
  readonly byLocalAddress: ReadonlyMap<string, VirtualServers> | undefined;
  readonly servers: VirtualServers;
}

/** The whole linked configuration of one worker. */
export interface Site {
  readonly runtime: Runtime;
  listeners: readonly Listener[];
  postRead: readonly PhaseHandler[];
  /** The error log of the main configuration. */
  readonly errorLog: ErrorLog;
  /** `debug_connection`: finds out whether all is to be logged of a client's connections. */
  readonly debugConnections: AddressMatcher | undefined;
  /** Goes on with an exchange from where its phases stand: run.ts's `run`, here so that redirects can call it. */
  readonly run: (exchange: Exchange) => void;
  /** Ends an exchange: finalize.ts's `finalize`, here for what finalize.ts itself is built on. */
  readonly finalize: (exchange: Exchange, result: PhaseResult) => void;
  /** The worker is shutting down, or a newer configuration forbids it: no connection is kept alive. */
  draining: boolean;
  /** Exchanges under way on this configuration. */
  users: number;
  /** Called whenever `users` falls to zero: a configuration that has been replaced can then be let go. */
  onUnused: (() => void) | undefined;
  /** Releases what this configuration holds (log files); called once, when nothing uses it any more. */
  close(): void;
}
