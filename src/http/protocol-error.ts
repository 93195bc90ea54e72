/** Why a message was refused. */
export interface ProtocolError {
  /** Status of the error page: 400, 405, 414, 494 (head too large: the page and the line say 400), 501, 505; 502 for an upstream's. */
  readonly status: number;
  /** Level of the error log entry: `info` for clients, `error` for upstreams. */
  readonly level: 'info' | 'error';
  /** nginx's words, without the context ("while ..., client: ...") that the log adds. */
  readonly message: string;
  /** What was being done, for the context: `reading client request line`, `reading client request headers`, ... */
  readonly action: string;
  /** Whether the connection is to be closed with lingering, as the peer is known to be still sending. */
  readonly lingeringClose: boolean;
}

/** Context action while the request line is read. */
export const READING_REQUEST_LINE = 'reading client request line';
/** Context action while the header fields are read and judged. */
export const READING_REQUEST_HEADERS = 'reading client request headers';
/** Context action while an upstream's head is read. */
export const READING_RESPONSE_HEADER = 'reading response header from upstream';

/** A client's mistake in the header fields. */
export function requestError(status: number, message: string): ProtocolError {
  return { status, level: 'info', message, action: READING_REQUEST_HEADERS, lingeringClose: false };
}

/** An upstream's mistake in its response head: 502. */
export function responseError(message: string): ProtocolError {
  return { status: 502, level: 'error', message, action: READING_RESPONSE_HEADER, lingeringClose: false };
}
