/**
 * A request's head as uWebSockets.js gives it, made into ours: it is put together again as text and read by the parser
 * that reads all heads, so that limits, checks and what a request looks like to the modules are the same for all engines.
 */
import type { ParseOutcome } from '../../http/request-head.ts';
import type { RequestHeadParser } from '../../http/request-head-parser.ts';
import { LONGEST_HEAD, type UwsRequest } from './native.ts';

/** Heads are put together here; nothing of it outlives `readHead`. Longer than a head by what uWebSockets.js leaves out. */
const scratch = Buffer.allocUnsafeSlow(LONGEST_HEAD + 1024);

let lines = '';
let isWebSocket = false;

function addLine(name: string, value: string): void {
  switch (name) {
    case 'upgrade':
      // Other protocols cannot be carried: who is not asked for one does not begin with it.
      if (!isWebSocket) return;
      break;
    case 'sec-websocket-extensions':
      // Frames are taken apart here, and an extension would change what they mean.
      if (isWebSocket) return;
      break;
  }
  lines += `${name}: ${value}\r\n`;
}

/**
 * Reads a head.
 * @param method as it came
 * @param webSocket it asks for a WebSocket, and can have one
 * @returns as the parser: `parser.head` has it
 */
export function readHead(
  request: UwsRequest,
  method: string,
  webSocket: boolean,
  parser: RequestHeadParser,
): ParseOutcome {
  const query = request.getQuery();
  const target = query === undefined ? request.getUrl() : `${request.getUrl()}?${query}`;
  lines = `${method} ${target} HTTP/1.1\r\n`;
  isWebSocket = webSocket;
  request.forEach(addLine);
  lines += '\r\n';
  const text = lines;
  lines = '';
  return parser.parseText(text, scratch);
}
