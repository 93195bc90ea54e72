/** Reading the client's request body whole: in memory as far as `client_body_buffer_size` goes, else in a file. */

import { KnownHeader } from '../http/header-names.ts';
import { hasToken } from '../http/tokens.ts';
import { describeError } from '../log/system-errors.ts';
import type { BodyReceiver } from './carrier.ts';
import type { Exchange } from './exchange.ts';
import { finalize } from './finalize.ts';
import { log } from './log.ts';
import { OK, type PhaseResult } from './phases.ts';
import { TempFile } from './temp-file.ts';

/** A request body that has been read whole. */
export interface RequestBody {
  /** Bytes. */
  size: number;
  /** The body where it is in memory; empty where it is in a file. */
  chunks: Buffer[];
  file: TempFile | undefined;
  /** All of it is here. */
  complete: boolean;
}

/** True where the request has a body to be read, as far as its head says. */
export function hasRequestBody(exchange: Exchange): boolean {
  return exchange.contentLength > 0 || exchange.chunked;
}

/**
 * Tells a client that waits for it (`Expect: 100-continue`, RFC 9110 10.1.1) to send the body. Whoever begins to read or
 * to drop the body calls it first; an answer that refuses the request does not.
 */
export function sendContinue(exchange: Exchange): void {
  if (exchange.continueSent || exchange.head.version < 11) return;
  const expect = exchange.headers.knownValue(KnownHeader.expect);
  if (expect === undefined || !hasToken(expect, '100-continue')) return;
  exchange.continueSent = true;
  exchange.carrier.sendInterim('100 Continue', '');
}

/**
 * Drops the request's body, for a handler that has no use for it.
 * @returns OK, or 400 where what has come of it is not a body
 */
export function discardRequestBody(exchange: Exchange): PhaseResult {
  if (exchange.body !== undefined) return OK;
  sendContinue(exchange);
  exchange.bodyDropped = true;
  return hasRequestBody(exchange) && !exchange.carrier.discardBody() ? 400 : OK;
}

/**
 * Refuses a request whose body is going to be too large (`client_max_body_size` of the location it stands in).
 * @returns whether it has been: it is answered with 413
 */
export function refusesBody(exchange: Exchange): boolean {
  const limit = exchange.location.settings.client_max_body_size;
  if (limit <= 0 || exchange.contentLength <= limit) return false;
  log(exchange, 'error', `client intended to send too large body: ${exchange.contentLength} bytes`);
  finalize(exchange, 413);
  return true;
}

/**
 * Reads the body whole into `exchange.body`, then calls `done`, at once where there is none or it is there already.
 * Where reading fails the exchange is finished with the status that says why (408, 413, 400, 500), and `done` is never called.
 */
export function readRequestBody(exchange: Exchange, done: () => void): void {
  if (exchange.body !== undefined) {
    done();
    return;
  }
  sendContinue(exchange);
  const body: RequestBody = { size: 0, chunks: [], file: undefined, complete: false };
  exchange.body = body;
  const { settings, tempPath } = exchange.location;
  const inFileOnly = settings.client_body_in_file_only !== 'off';
  if (!hasRequestBody(exchange) && !inFileOnly) {
    body.complete = true;
    done();
    return;
  }
  const inMemory = settings.client_body_buffer_size;
  exchange.onRelease(() => {
    body.file?.close(settings.client_body_in_file_only !== 'on');
    body.chunks = [];
  });

  /** Moves what is in memory to a file. @returns false when that failed, and the exchange with it */
  const spill = (): boolean => {
    try {
      if (body.file === undefined) {
        body.file = new TempFile(tempPath, exchange.site.runtime.worker, inFileOnly);
        log(
          exchange,
          inFileOnly ? 'notice' : 'warn',
          `a client request body is buffered to a temporary file ${body.file.path}`,
        );
      }
      for (const chunk of body.chunks) body.file.append(chunk);
      body.chunks = [];
      return true;
    } catch (error) {
      const failure = error as NodeJS.ErrnoException;
      log(
        exchange,
        'crit',
        `${failure.syscall ?? 'open'}() "${tempPath.directory}" failed (${describeError(failure)})`,
      );
      exchange.carrier.pauseBody();
      finalize(exchange, 500);
      return false;
    }
  };

  if (!hasRequestBody(exchange)) {
    body.complete = true;
    if (spill()) done();
    return;
  }
  let held = 0;
  const receiver: BodyReceiver = {
    data(chunk) {
      if (exchange.ended) return true;
      body.size += chunk.length;
      held += chunk.length;
      body.chunks.push(chunk);
      if (held > inMemory || body.file !== undefined) {
        held = 0;
        spill();
      }
      // What is in a file has been copied there.
      return body.chunks.length === 0;
    },
    end() {
      if (exchange.ended) return;
      if ((body.file !== undefined || inFileOnly) && !spill()) return;
      body.complete = true;
      done();
    },
    fail(status) {
      if (status !== 0) finalize(exchange, status);
    },
  };
  exchange.carrier.readBody(receiver, settings.client_max_body_size, settings.client_body_timeout);
}

/** The body as one Buffer; undefined where it is in a file or has not been read. */
export function bodyInMemory(exchange: Exchange): Buffer | undefined {
  const { body } = exchange;
  if (body === undefined || body.file !== undefined) return undefined;
  if (body.chunks.length > 1) body.chunks = [Buffer.concat(body.chunks)];
  return body.chunks[0] ?? Buffer.alloc(0);
}
