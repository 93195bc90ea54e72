import { gzipSync } from 'node:zlib';
import type { Timer, TimerWheel } from '../event/timers.ts';
import type { ErrorLog } from './error-log.ts';
import { countLines, type LogFile, MEMBER_LIMIT } from './log-file.ts';
import type { OpenFiles } from './open-files.ts';

/**
 * Writes the lines of an access log.
 *
 * Without `buffer=`, the lines of one turn of the event loop are gathered and written with one call at the end of the
 * turn, so no line waits for longer than the turn that made it. With it, lines are gathered as nginx does: until the
 * next would not fit, or until `flush=` after the first.
 *
 * nginx, asked to write what the system does not take, waits for a pipe and loses the line on a full disk. Here the
 * lines wait in memory, at most 1 MB a file and thread (see log-file.ts); beyond that they are lost, and the error log
 * says how many, at level alert, at most once a minute.
 */
export interface AccessLogWriter {
  /**
   * Takes one line. Never throws.
   * @param line byte string with its line feed
   */
  write(line: string): void;
  /** Writes what is gathered now. Also done by OpenFiles.flushSync and before the file is reopened. */
  flush(): void;
  /** Writes what is gathered and gives the file back. Lines given later are dropped. */
  close(): void;
}

/** `buffer=size flush=time gzip=level` of `access_log`. */
export interface AccessLogBuffering {
  /** Bytes; more than 0. */
  readonly size: number;
  /** Milliseconds; 0: no limit. */
  readonly flush: number;
  /** Level of compression, 1 to 9; 0: none. What is written at one time is one gzip member. */
  readonly gzip: number;
}

/** A turn that has gathered this many bytes does not wait for its end. */
const TURN_LIMIT = 64 * 1024;

/** What gathers lines for one file: shared by all `access_log` directives with that file and buffering. */
interface Gatherer {
  write(line: string): void;
  flush(): void;
  /** Ends it: flushed, timers stopped. */
  end(): void;
  users: number;
}

const gatherersOf = new WeakMap<OpenFiles, Map<string, Gatherer>>();

function gatherTurns(append: (lines: Buffer) => void): Gatherer {
  let lines = '';
  let immediate: NodeJS.Immediate | undefined;

  function flush(): void {
    if (lines === '') return;
    // One copy of the whole: joining strings is free until then.
    const bytes = Buffer.from(lines, 'latin1');
    lines = '';
    append(bytes);
  }
  function endOfTurn(): void {
    immediate = undefined;
    flush();
  }
  return {
    users: 0,
    write(line) {
      lines += line;
      if (lines.length >= TURN_LIMIT) flush();
      else if (immediate === undefined) immediate = setImmediate(endOfTurn);
    },
    flush,
    end() {
      if (immediate !== undefined) clearImmediate(immediate);
      immediate = undefined;
      flush();
    },
  };
}

/** Bytes of lines in one gzip member: what cannot be compressed grows by a little. */
const MEMBER_LINES = MEMBER_LIMIT - 1024;

/** Compresses lines into members of whole lines. A line that is longer than a member is cut. */
function appendCompressed(file: LogFile, level: number): (lines: Buffer) => void {
  return (lines) => {
    for (let start = 0; start < lines.length; ) {
      let end = lines.length;
      if (end - start > MEMBER_LINES) {
        end = lines.lastIndexOf(10, start + MEMBER_LINES - 1) + 1;
        if (end <= start) end = start + MEMBER_LINES;
      }
      const piece = lines.subarray(start, end);
      file.writeMember(gzipSync(piece, { level }), countLines(piece));
      start = end;
    }
  };
}

function gatherBuffer(
  append: (lines: Buffer) => void,
  buffering: AccessLogBuffering,
  timers: TimerWheel,
): Gatherer {
  let lines = '';
  const timer: Timer | undefined = buffering.flush > 0 ? timers.timer(flush) : undefined;

  function flush(): void {
    timer?.stop();
    if (lines === '') return;
    const bytes = Buffer.from(lines, 'latin1');
    lines = '';
    append(bytes);
  }
  return {
    users: 0,
    write(line) {
      if (lines.length + line.length > buffering.size) {
        flush();
        // nginx writes such a line as it is. In a compressed file it would be no line but rubbish.
        if (line.length > buffering.size) {
          append(Buffer.from(line, 'latin1'));
          return;
        }
      }
      if (lines === '') timer?.start(buffering.flush);
      lines += line;
    },
    flush,
    end: flush,
  };
}

function gatherBuffered(file: LogFile, buffering: AccessLogBuffering, timers: TimerWheel): Gatherer {
  const append = buffering.gzip > 0 ? appendCompressed(file, buffering.gzip) : file.write;
  return gatherBuffer(append, buffering, timers);
}

/**
 * Opens an access log for writing.
 * @param files where the file is opened
 * @param path absolute, as a byte string
 * @param errorLog told about lines that cannot be written
 * @param timers for `flush=`
 * @param buffering undefined: the lines of a turn are written at its end
 * @throws as OpenFiles.open
 */
export function createAccessLogWriter(
  files: OpenFiles,
  path: string,
  errorLog: ErrorLog,
  timers: TimerWheel,
  buffering?: AccessLogBuffering,
): AccessLogWriter {
  const file = files.open(path);
  const stopReports = file.onTrouble((message) => errorLog.write('alert', message));
  let gatherers = gatherersOf.get(files);
  if (gatherers === undefined) {
    gatherers = new Map();
    gatherersOf.set(files, gatherers);
  }
  const shared = gatherers;
  const key =
    buffering === undefined ? path : `${path}\n${buffering.size} ${buffering.flush} ${buffering.gzip}`;
  let gatherer = shared.get(key);
  if (gatherer === undefined) {
    const made = buffering === undefined ? gatherTurns(file.write) : gatherBuffered(file, buffering, timers);
    // Taken back with the last user of the gatherer, who need not be this one.
    const forget = file.beforeSwitch(made.flush);
    const { end } = made;
    made.end = () => {
      end();
      forget();
    };
    shared.set(key, made);
    gatherer = made;
  }
  const used = gatherer;
  used.users++;
  let open = true;

  return {
    write(line) {
      if (open) used.write(line);
    },
    flush() {
      used.flush();
    },
    close() {
      if (!open) return;
      open = false;
      used.users--;
      if (used.users === 0) {
        shared.delete(key);
        used.end();
      } else {
        used.flush();
      }
      file.close();
      // Not sooner: closing is when lines that could not be written are given up.
      stopReports();
    },
  };
}
