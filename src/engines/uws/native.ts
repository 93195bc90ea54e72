/**
 * uWebSockets.js as far as this engine uses it: types (its own leave out half of what is used here), and how it is loaded.
 *
 * What is unusual about it, and holds everywhere in this folder:
 *
 * - Strings given to it are written as UTF-8: whatever may hold bytes above 0x7f is given as a Buffer. Strings it gives
 *   are byte strings.
 * - An object it gives is void once its answer is complete or its connection gone; using it then throws.
 * - A thread must not end while it has sockets of uWebSockets.js: the process is aborted.
 */
import { createRequire } from 'node:module';
import type { WebSocketTunnel } from './websocket-tunnel.ts';

/** A request's head; to be read while the handler runs, not later. */
export interface UwsRequest {
  getCaseSensitiveMethod(): string;
  /** The target up to the `?`. */
  getUrl(): string;
  /** Behind the `?`; undefined where there is none. */
  getQuery(): string | undefined;
  /** Names come in lower case. */
  forEach(receive: (name: string, value: string) => void): void;
  getHeader(lowerCaseName: string): string;
}

/** Text to be written: see above. */
export type UwsText = string | Uint8Array;

/** The answer to one request; for `filter`, a connection. */
export interface UwsResponse {
  /** Four or sixteen bytes; none for a Unix socket. */
  getRemoteAddress(): ArrayBuffer;
  /** Writes what follows `HTTP/1.1 ` up to the line's end: header lines may follow in it, but for the last line's end. */
  writeStatus(status: UwsText): void;
  /** Completes an answer without a body; adds Content-Length where it is given one. */
  endWithoutBody(contentLength?: number, close?: boolean): void;
  /** Completes the answer, with Content-Length where nothing has been written. */
  end(body?: UwsText, close?: boolean): void;
  /**
   * Writes to an answer of known length as much as can be taken.
   * @returns whether all of it has been taken; whether the answer is complete
   */
  tryEnd(body: UwsText, length: number): [taken: boolean, complete: boolean];
  /** Writes one chunk. @returns false where some of it is held in memory */
  write(chunk: UwsText): boolean;
  /** Bytes of body that `tryEnd` has taken. */
  getWriteOffset(): number;
  onWritable(handler: (offset: number) => boolean): void;
  onAborted(handler: () => void): void;
  /** The chunk is void once the handler has returned. */
  onData(handler: (chunk: ArrayBuffer, last: boolean) => void): void;
  pause(): void;
  resume(): void;
  close(): void;
  /** What `write` is called for inside leaves in one piece. */
  cork(write: () => void): void;
  upgrade(
    data: { readonly tunnel: WebSocketTunnel },
    key: string,
    protocol: UwsText,
    extensions: string,
    context: UpgradeContext,
  ): void;
}

/** What `upgrade` needs; not to be looked into. */
export type UpgradeContext = { readonly upgradeContext: unique symbol };

/** What `send` and its companions return: 1 done, 0 done but held in memory, 2 dropped. */
export type SendStatus = 0 | 1 | 2;

/** A WebSocket of a client, until `close` is called. */
export interface UwsWebSocket {
  /** What `upgrade` was given: its properties are copied. */
  readonly tunnel: WebSocketTunnel;
  send(message: Uint8Array, binary: boolean): SendStatus;
  sendFirstFragment(message: Uint8Array, binary: boolean): SendStatus;
  sendFragment(message: Uint8Array): SendStatus;
  sendLastFragment(message: Uint8Array): SendStatus;
  ping(message: Uint8Array): SendStatus;
  /** Bytes held in memory for a slow client. */
  getBufferedAmount(): number;
  cork(send: () => void): void;
  /** Sends a close frame, then ends the connection. `close` of the behaviour is called at once. */
  end(code?: number, reason?: Uint8Array): void;
  /** Ends the connection. `close` of the behaviour is called at once. */
  close(): void;
}

export interface UwsBehaviour {
  readonly compression: 0;
  readonly maxPayloadLength: number;
  readonly maxBackpressure: 0;
  /** Seconds; 0 for none. */
  readonly idleTimeout: 0;
  readonly sendPingsAutomatically: false;
  upgrade(response: UwsResponse, request: UwsRequest, context: UpgradeContext): void;
  open(socket: UwsWebSocket): void;
  /** The message is void once the handler has returned. */
  message(socket: UwsWebSocket, message: ArrayBuffer, binary: boolean): void;
  ping(socket: UwsWebSocket, message: ArrayBuffer): void;
  pong(socket: UwsWebSocket, message: ArrayBuffer): void;
  drain(socket: UwsWebSocket): void;
  close(socket: UwsWebSocket, code: number, reason: ArrayBuffer): void;
}

/** A listening socket; not to be looked into. */
export type ListenSocket = { readonly listenSocket: unique symbol };

/** Connections and what is done with them. */
export interface UwsApp {
  any(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): void;
  /** The same, of requests with the method GET, which come here instead. */
  get(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): void;
  ws(pattern: string, behaviour: UwsBehaviour): void;
  /** Hears of each connection: 1 when it begins, -1 when it ends; of WebSockets only the beginning. */
  filter(handler: (connection: UwsResponse, count: 1 | -1) => void): void;
  /** Calls back before it returns. */
  listen(host: string, port: number, listening: (socket: ListenSocket | false) => void): void;
  listen_unix(listening: (socket: ListenSocket | false) => void, path: string): void;
  /** An address in memory: what another thread's app calls this one by. */
  getDescriptor(): number;
  /** From now on connections go to that app and the others, in turn. */
  addChildAppDescriptor(descriptor: number): void;
  removeChildAppDescriptor(descriptor: number): void;
  /** Seconds a connection may take for a request's head, or be slow with its body; 0 for no limit. */
  setIdleTimeout(seconds: number): void;
  /** Seconds a connection may rest after an answer, or not take any of it; 0 for no limit. */
  setResponseTimeout(seconds: number): void;
  /**
   * TLS: clients that ask for this name (SNI) get this certificate; says nothing where it cannot be used. Their requests
   * then go to handlers of their own: see `domain`. Not to be taken back, for those handlers go at once.
   */
  addServerName(pattern: string, options: UwsTlsOptions): void;
  /** Handlers that are added from now on are for clients that have asked for this name. Says so on standard output. */
  domain(pattern: string): void;
  /** Called inside a handshake for a name that is not there, which may then be added. */
  missingServerName(handler: (name: string) => void): void;
  /** Ends all connections, and stops listening. */
  close(): void;
}

/** A certificate with its chain, a key, BoringSSL's list of ciphers. The files are read before the call returns. */
export interface UwsTlsOptions {
  readonly key_file_name?: string | undefined;
  readonly cert_file_name?: string | undefined;
  readonly ssl_ciphers?: string | undefined;
  readonly ssl_prefer_low_memory_usage?: boolean | undefined;
}

export interface Uws {
  App(): UwsApp;
  /** @throws Error where the certificate, the key or the ciphers cannot be used */
  SSLApp(options: UwsTlsOptions): UwsApp;
  us_listen_socket_close(socket: ListenSocket): void;
  _cfg(option: 'silent'): void;
}

/**
 * Longest head of a request that uWebSockets.js reads, in bytes. It is fixed for the whole process when the first thread
 * loads it; what the configuration says is checked on top of that, head by head.
 */
export const LONGEST_HEAD = 128 * 1024;

const HEAD_SIZE_VARIABLE = 'UWS_HTTP_MAX_HEADERS_SIZE';

let loaded: Uws | undefined;

/**
 * Loads it, the first time in each thread. The master must be the first to do so.
 * @throws Error saying why it cannot be used here
 */
export function loadUws(): Uws {
  if (loaded !== undefined) return loaded;
  const before = process.env[HEAD_SIZE_VARIABLE];
  process.env[HEAD_SIZE_VARIABLE] = String(LONGEST_HEAD);
  try {
    const uws = createRequire(import.meta.url)('uWebSockets.js') as Uws;
    // No `uWebSockets:` line in each answer.
    uws._cfg('silent');
    loaded = uws;
    return uws;
  } catch (error) {
    throw new Error(`uWebSockets.js cannot be loaded here (${reasonOf(error)})`, { cause: error });
  } finally {
    if (before === undefined) delete process.env[HEAD_SIZE_VARIABLE];
    else process.env[HEAD_SIZE_VARIABLE] = before;
  }
}

/** The first line that says what has happened, and what may help. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // Its loader puts a paragraph of its own in front of the system's words.
  const systems = text.slice(text.lastIndexOf('\n\n') + 1).trim();
  const [line = ''] = systems.replace(/^Error: /, '').split('\n');
  return line.includes("version `GLIBC_2.38' not found")
    ? `${line}; "sh scripts/setup.sh" makes it fit`
    : line;
}
