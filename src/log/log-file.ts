import { closeSync, fstatSync } from 'node:fs';
import sonicBoom from 'sonic-boom';
import { describeFileError } from './system-errors.ts';

/**
 * One file that log lines are appended to, by whoever holds it.
 *
 * Writing is synchronous, as nginx's: a line that has been written is with the system, whatever happens to the program
 * next. What the system does not take (disk full, a FIFO whose reader is slow or gone) waits in memory, up to
 * `WAITING_LIMIT` bytes; it is tried again with the next write and every `RETRY_INTERVAL` milliseconds. Lines beyond
 * the limit are dropped and counted. The program goes on in any case.
 */
export interface LogFile {
  /** Byte string; `stderr` for descriptor 2. */
  readonly path: string;
  /**
   * Appends lines. Never throws.
   * @param lines whole lines with their line feeds. The buffer belongs to the file from now on
   */
  write(lines: Buffer): void;
  /**
   * Appends a gzip member, in one piece.
   * @param member of no more than `MEMBER_LIMIT` bytes. The buffer belongs to the file from now on
   * @param lines how many lines are in it, for messages about those that are lost
   */
  writeMember(member: Buffer, lines: number): void;
  /** Writes what others have gathered for this file (see `beforeSwitch`) and what waits, trying for up to a second. */
  flushSync(): void;
  /**
   * Registers somebody who gathers lines for this file: `flush` is called before the file is reopened, closed or
   * flushed, and is to `write` them.
   * @returns takes the registration back
   */
  beforeSwitch(flush: () => void): () => void;
  /**
   * Registers who is told when lines cannot be written, at most once a minute and when the file is closed, with a text for the error log (level
   * alert): `write() to "/x.log" failed (28: No space left on device), 12 lines lost`. Of several, the newest is told.
   * @returns takes the registration back
   */
  onTrouble(report: (message: string) => void): () => void;
}

/** The registry's side of a log file. */
export interface OwnedLogFile extends LogFile {
  /** Goes on with another descriptor; the old one is closed. */
  switchTo(descriptor: number): void;
  /** Flushes and closes the descriptor (not 2). Later writes are dropped. */
  end(): void;
}

/** Bytes that may wait for a file that does not take them. */
export const WAITING_LIMIT = 1024 * 1024;

/** A pipe takes this many bytes or none (PIPE_BUF of Linux), so lines of several threads do not mix in it. */
const PIPE_WRITE = 4096;

/** Bytes of one write to anything else. */
const FILE_WRITE = 256 * 1024;

/** Bytes of a gzip member, at most: it must not be cut, because another thread's could come in between. */
export const MEMBER_LIMIT = FILE_WRITE;

const RETRY_INTERVAL = 20;
const REPORT_INTERVAL = 60_000;
/** How long `flushSync` waits for a reader. */
const FLUSH_PATIENCE = 1000;
const FLUSH_PAUSE = 5;

const LINE_FEED = 10;

/** What is used of a SonicBoom in content mode 'buffer'; its type file knows only strings. */
interface Sink {
  write(bytes: Buffer): boolean;
  flush(): void;
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): void;
  on(event: 'drop', listener: (bytes: Buffer) => void): void;
}

/** How many lines end in these bytes. */
export function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(LINE_FEED); at !== -1; at = bytes.indexOf(LINE_FEED, at + 1)) lines++;
  return lines;
}

function writesLessThanAll(descriptor: number): boolean {
  const status = fstatSync(descriptor);
  return status.isFIFO() || status.isSocket();
}

/**
 * A log file over a descriptor, which it owns from now on.
 * @param path for messages
 * @param descriptor open for appending
 */
export function createLogFile(path: string, descriptor: number): OwnedLogFile {
  let current = descriptor;
  let pipe = false;
  let sink: Sink | undefined = openSink();
  /** The error of the last write; undefined when all is well. */
  let failure: NodeJS.ErrnoException | undefined;
  /** Lines dropped since the last report. */
  let lostLines = 0;
  /** Lines that wait for the next attempt; an upper bound, because part of them may have been written. */
  let waitingLines = 0;
  let dropped = false;
  /** Lines in the gzip member that is being written; undefined while it is no member. */
  let memberLines: number | undefined;
  let reportedAt = Number.NEGATIVE_INFINITY;
  let retry: NodeJS.Timeout | undefined;
  const gatherers = new Set<() => void>();
  const reporters = new Set<(message: string) => void>();

  function openSink(): Sink {
    pipe = writesLessThanAll(current);
    const boom = new sonicBoom.SonicBoom({
      fd: current,
      sync: true,
      contentMode: 'buffer',
      minLength: 0,
      maxWrite: pipe ? PIPE_WRITE : FILE_WRITE,
      maxLength: WAITING_LIMIT,
      // It would put the whole thread to sleep for 100 ms at a time.
      retryEAGAIN: () => false,
    }) as unknown as Sink;
    boom.on('error', (error) => {
      failure = error;
    });
    boom.on('drop', (bytes) => {
      dropped = true;
      lostLines += memberLines ?? countLines(bytes);
    });
    return boom;
  }

  /** After an attempt: trouble is told of, and tried again later. */
  function settle(): void {
    if (failure === undefined && lostLines === 0) return;
    if (failure !== undefined) {
      retry ??= setTimeout(tryAgain, RETRY_INTERVAL).unref();
    }
    // A full pipe is how a slow reader looks, and no trouble as long as nothing is lost.
    if (lostLines === 0 && isFull(failure)) return;
    const now = performance.now();
    if (now - reportedAt < REPORT_INTERVAL || reporters.size === 0) return;
    reportedAt = now;
    tell();
  }

  function tell(): void {
    const lost = lostLines === 0 ? '' : `, ${lostLines} lines lost`;
    lostLines = 0;
    const message =
      failure === undefined
        ? `write() to "${path}" was incomplete${lost}`
        : `${describeFileError('write() to', path, failure)}${lost}`;
    // One is enough, and the newest belongs to the configuration in force.
    [...reporters].at(-1)?.(message);
  }

  function tryAgain(): void {
    retry = undefined;
    attempt();
  }

  function attempt(): void {
    failure = undefined;
    sink?.flush();
    if (failure === undefined) waitingLines = 0;
    settle();
  }

  function writeOne(bytes: Buffer): void {
    const before = failure;
    failure = undefined;
    dropped = false;
    sink?.write(bytes);
    // Where too much waits already, nothing has been tried.
    if (dropped) failure = before;
    else if (failure === undefined) waitingLines = 0;
    else waitingLines += memberLines ?? countLines(bytes);
  }

  /** Cuts behind line feeds, so that a piece holds whole lines and no more than `size` bytes, if a line does not. */
  function writePieces(lines: Buffer, size: number): void {
    let start = 0;
    while (lines.length - start > size) {
      let end = lines.lastIndexOf(LINE_FEED, start + size - 1) + 1;
      if (end <= start) end = lines.indexOf(LINE_FEED, start) + 1;
      if (end <= start) break;
      writeOne(lines.subarray(start, end));
      start = end;
    }
    if (start < lines.length) writeOne(lines.subarray(start));
  }

  function write(lines: Buffer): void {
    if (sink === undefined || lines.length === 0) return;
    const size = pipe ? PIPE_WRITE : FILE_WRITE;
    if (lines.length <= size) writeOne(lines);
    else writePieces(lines, size);
    if (failure !== undefined || lostLines > 0) settle();
  }

  function writeMember(member: Buffer, lines: number): void {
    if (sink === undefined) return;
    memberLines = lines;
    writeOne(member);
    memberLines = undefined;
    if (failure !== undefined || lostLines > 0) settle();
  }

  function flushSync(): void {
    for (const flush of gatherers) flush();
    if (failure === undefined) return;
    const deadline = performance.now() + FLUSH_PATIENCE;
    attempt();
    // Only a full pipe gets better by waiting for it.
    while (isFull(failure) && performance.now() < deadline) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FLUSH_PAUSE);
      attempt();
    }
  }

  function isFull(error: NodeJS.ErrnoException | undefined): boolean {
    return error?.code === 'EAGAIN';
  }

  /** Forgets the descriptor and what could not be written to it. */
  function drop(): void {
    clearTimeout(retry);
    retry = undefined;
    lostLines += waitingLines;
    waitingLines = 0;
    if (lostLines > 0) tell();
    failure = undefined;
    sink = undefined;
    // Not by SonicBoom: it would close later, after an fsync of a file that may have gigabytes to be written.
    if (current !== 2) closeSync(current);
  }

  return {
    path,
    write,
    writeMember,
    flushSync,
    beforeSwitch(flush) {
      gatherers.add(flush);
      return () => gatherers.delete(flush);
    },
    onTrouble(report) {
      reporters.add(report);
      return () => reporters.delete(report);
    },
    switchTo(next) {
      for (const flush of gatherers) flush();
      if (failure !== undefined) attempt();
      drop();
      current = next;
      sink = openSink();
    },
    end() {
      if (sink === undefined) return;
      flushSync();
      drop();
    },
  };
}
