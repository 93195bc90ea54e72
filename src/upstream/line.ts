/**
 * The line of requests on one connection (`keepalive_pipeline`): sent together, answered in order (RFC 9112 9.3.2). The
 * first is the connection's `user`, each knows the one `behind` it. Who has been given up keeps its place, as its answer
 * comes all the same and has to be read past.
 *
 * How those behind the first get away from a connection:
 *
 * | what happens                                                     | they                                         |
 * |------------------------------------------------------------------|----------------------------------------------|
 * | the connection could not be made                                 | fail as the first one does                   |
 * | the first one's answer fails: broken off, not understood, late   | fail as `behind` it: another server is asked |
 * | the last answer said that it is the last: `Connection: close`    | are moved: sent again to the same server     |
 * | the server closes the connection between two answers             | are moved, the first one too                 |
 * | the first one's client has gone, and its answer is long          | are moved                                    |
 * | the first one's answer takes longer than `LONGEST_WAIT`          | are moved                                    |
 */
import { nowMilliseconds } from '../event/clock.ts';
import type { UpstreamConnection } from './connection.ts';
import type { UpstreamFailure } from './receiver.ts';
import type { HttpRequest } from './request.ts';

/** How long, in milliseconds, requests wait behind one whose answer is due and does not end. */
export const LONGEST_WAIT = 1000;

/** Puts a request behind the others on a connection; it is not sent yet. */
export function joinLine(connection: UpstreamConnection, request: HttpRequest): void {
  const { last } = connection;
  if (last === undefined) {
    connection.user = request;
    connection.reader.begin();
  } else last.behind = request;
  connection.last = request;
  connection.requests++;
}

/** How many requests wait on a connection, the one whose answer is read included. */
export function lineLength(connection: UpstreamConnection): number {
  let length = 0;
  for (let request = connection.user; request !== undefined; request = request.behind) length++;
  return length;
}

/** Whether anybody still wants one of the answers. */
export function isWanted(connection: UpstreamConnection): boolean {
  for (let request = connection.user; request !== undefined; request = request.behind) {
    if (!request.over) return true;
  }
  return false;
}

/**
 * Sends a line in one write, from one request to its end; the connection stands.
 * @param first of those that have not been sent
 */
export function sendLine(connection: UpstreamConnection, first: HttpRequest): void {
  const now = nowMilliseconds();
  connection.gathered = '';
  for (let request: HttpRequest | undefined = first; request !== undefined; request = request.behind) {
    request.mayBeSent(now);
  }
  const { gathered } = connection;
  connection.gathered = undefined;
  connection.write(gathered);
  connection.user?.arm();
}

/** Lets go of those who were given up before the connection stood: nothing has been sent for them. */
export function closeRanks(connection: UpstreamConnection): void {
  let last: HttpRequest | undefined;
  for (let request = connection.user; request !== undefined; ) {
    const { behind } = request;
    request.behind = undefined;
    if (!request.over) {
      if (last === undefined) connection.user = request;
      else last.behind = request;
      last = request;
    }
    request = behind;
  }
  connection.last = last;
}

/** The first one's answer is complete: the next one's is read. @param now ms, `nowMilliseconds` */
export function advance(connection: UpstreamConnection, now: number): void {
  const first = connection.user!;
  const next = first.behind!;
  first.behind = undefined;
  connection.user = next;
  connection.reader.begin();
  next.follow(now);
}

/**
 * Those behind the first are sent again, each on a connection of its own: this one cannot be used for them any more.
 * @param restrain whether the server had better get no lines for a while
 */
export function moveBehind(connection: UpstreamConnection, restrain: boolean): void {
  const first = connection.user!;
  const { behind } = first;
  first.behind = undefined;
  connection.last = first;
  connection.condemned = true;
  if (restrain) connection.bucket.turn?.restrain();
  moveAll(behind);
}

/** The server has closed the connection before the first one's answer began: all are sent again. */
export function moveLine(connection: UpstreamConnection): void {
  const first = connection.user;
  connection.close();
  moveAll(first);
}

/** The rest of the first one's answer is not worth waiting for: the others are sent again. */
export function closeAndMove(connection: UpstreamConnection): void {
  const { behind } = connection.user!;
  connection.user!.behind = undefined;
  connection.close();
  moveAll(behind);
}

function moveAll(first: HttpRequest | undefined): void {
  for (let request = first; request !== undefined; ) {
    const { behind } = request;
    request.behind = undefined;
    request.move();
    request = behind;
  }
}

/** A connection has failed. @param first of those who stood behind the one whose answer was read */
export function failAll(first: HttpRequest | undefined, failure: UpstreamFailure): void {
  for (let request = first; request !== undefined; ) {
    const { behind } = request;
    request.behind = undefined;
    request.tellFailure(failure);
    request = behind;
  }
}
