/**
 * Finds SSI commands in a body that comes in pieces: `<!--#name parameter="value" ... -->`. What is no command is text.
 *
 * A body that ends in the middle of what may be a command ends before it, as in nginx.
 */

/** One command as it was written. */
interface SsiCommand {
  readonly name: string;
  /** In order; values still hold their backslashes. */
  readonly parameters: readonly SsiParameter[];
}

interface SsiParameter {
  name: string;
  value: string;
}

/** What `SsiScanner.next` has found. */
export const Found = {
  /** The piece has been read to its end. */
  nothing: 0,
  /** Text: piece[textStart, textEnd). */
  text: 1,
  /** Text, held back from the piece before: `held`. */
  heldText: 2,
  /** A command: `command`. */
  command: 3,
  /** A command that is none; why has been reported. */
  error: 4,
} as const;

export type Found = (typeof Found)[keyof typeof Found];

const OPENING = '<!--#';
const OPENING_BYTES = Buffer.from(OPENING);
const COMMAND_LIMIT = 32;
const PARAMETER_LIMIT = 32;

const State = {
  text: 0,
  beforeCommand: 1,
  command: 2,
  beforeParameter: 3,
  parameter: 4,
  beforeEqual: 5,
  beforeValue: 6,
  value: 7,
  /** The byte after a backslash. */
  escaped: 8,
  afterValue: 9,
  /** After one dash. */
  end: 10,
  /** After two. */
  endDash: 11,
  error: 12,
  errorEnd: 13,
  errorDash: 14,
} as const;

type State = (typeof State)[keyof typeof State];

const DASH = 45;
const GREATER = 62;

export class SsiScanner {
  position = 0;
  textStart = 0;
  textEnd = 0;
  held = '';
  command: SsiCommand = { name: '', parameters: [] };

  private readonly valueLimit: number;
  private readonly report: (message: string) => void;
  private state: State = State.text;
  /** Bytes of `<!--#` the last piece ended with. */
  private matched = 0;
  private name = '';
  private parameters: SsiParameter[] = [];
  private parameter: SsiParameter = { name: '', value: '' };
  private quote = 0;

  /**
   * @param valueLimit bytes of one parameter's value (`ssi_value_length`)
   * @param report hears what is wrong with a command
   */
  constructor(valueLimit: number, report: (message: string) => void) {
    this.valueLimit = valueLimit;
    this.report = report;
  }

  /** Reads on in a piece from `position`, which it moves. */
  next(piece: Buffer): Found {
    if (this.state === State.text) {
      const found = this.readText(piece);
      if (found !== undefined) return found;
    }
    return this.readCommand(piece);
  }

  /** @returns undefined where a command begins at `position` */
  private readText(piece: Buffer): Found | undefined {
    const { length } = piece;
    if (this.matched > 0) {
      while (this.position < length && piece[this.position] === OPENING_BYTES[this.matched]) {
        this.position++;
        this.matched++;
        if (this.matched === OPENING.length) {
          this.beginCommand();
          return undefined;
        }
      }
      if (this.position === length) return Found.nothing;
      this.held = OPENING.slice(0, this.matched);
      this.matched = 0;
      return Found.heldText;
    }
    this.textStart = this.position;
    const opening = piece.indexOf(OPENING_BYTES, this.position);
    if (opening >= 0) {
      this.textEnd = opening;
      this.position = opening + OPENING.length;
      this.beginCommand();
      return opening > this.textStart ? Found.text : undefined;
    }
    this.matched = beginningAtEnd(piece, this.position);
    this.textEnd = length - this.matched;
    this.position = length;
    return this.textEnd > this.textStart ? Found.text : Found.nothing;
  }

  private beginCommand(): void {
    this.matched = 0;
    this.state = State.beforeCommand;
    this.name = '';
    this.parameters = [];
  }

  private readCommand(piece: Buffer): Found {
    while (this.position < piece.length) {
      const byte = piece[this.position++]!;
      const found = this.take(byte);
      if (found === Found.nothing) continue;
      this.state = State.text;
      if (found === Found.command) this.command = { name: this.name, parameters: this.parameters };
      return found;
    }
    return Found.nothing;
  }

  /** Takes one byte of a command. */
  private take(byte: number): Found {
    const blank = byte === 32 || byte === 9 || byte === 10 || byte === 13;
    switch (this.state) {
      case State.beforeCommand:
        if (!blank) {
          this.name = String.fromCharCode(byte);
          this.state = State.command;
        }
        break;
      case State.command:
        if (blank) this.state = State.beforeParameter;
        else if (byte === DASH) this.state = State.end;
        else if (this.name.length === COMMAND_LIMIT) {
          this.refuse(`the "${this.name}${String.fromCharCode(byte)}..." SSI command is too long`);
        } else this.name += String.fromCharCode(byte);
        break;
      case State.beforeParameter:
        if (blank) break;
        if (byte === DASH) this.state = State.end;
        else {
          this.parameter = { name: String.fromCharCode(byte), value: '' };
          this.parameters.push(this.parameter);
          this.state = State.parameter;
        }
        break;
      case State.parameter:
        this.takeName(byte, blank);
        break;
      case State.beforeEqual:
        if (blank) break;
        if (byte === 61) this.state = State.beforeValue;
        else this.refuseAt(byte, `symbol after "${this.parameter.name}" parameter in`);
        break;
      case State.beforeValue:
        if (blank) break;
        if (byte === 34 || byte === 39) {
          this.quote = byte;
          this.state = State.value;
        } else this.refuseAt(byte, `symbol before value of "${this.parameter.name}" parameter in`);
        break;
      case State.value:
        if (byte === this.quote) this.state = State.afterValue;
        else {
          if (byte === 92) this.state = State.escaped;
          this.takeValue(byte);
        }
        break;
      case State.escaped:
        this.state = State.value;
        this.takeValue(byte);
        break;
      case State.afterValue:
        if (blank) this.state = State.beforeParameter;
        else if (byte === DASH) this.state = State.end;
        else {
          const { name, value } = this.parameter;
          this.refuseAt(byte, `symbol after "${value}" value of "${name}" parameter in`, State.error);
        }
        break;
      case State.end:
        if (byte === DASH) this.state = State.endDash;
        else this.refuseAt(byte, 'symbol in', State.error);
        break;
      case State.endDash:
        if (byte === GREATER) return Found.command;
        this.refuseAt(byte, 'symbol in', State.error);
        break;
      case State.error:
        if (byte === DASH) this.state = State.errorEnd;
        break;
      case State.errorEnd:
        this.state = byte === DASH ? State.errorDash : State.error;
        break;
      default:
        if (byte === GREATER) return Found.error;
        this.state = State.error;
    }
    return Found.nothing;
  }

  private takeName(byte: number, blank: boolean): void {
    const { parameter, name } = this;
    if (blank) this.state = State.beforeEqual;
    else if (byte === 61) this.state = State.beforeValue;
    else if (byte === DASH) this.refuseAt(byte, `symbol after "${parameter.name}" parameter in`);
    else if (parameter.name.length === PARAMETER_LIMIT) {
      const text = parameter.name + String.fromCharCode(byte);
      this.refuse(`too long "${text}..." parameter in "${name}" SSI command`);
    } else parameter.name += String.fromCharCode(byte);
  }

  private takeValue(byte: number): void {
    const { parameter, name } = this;
    const symbol = String.fromCharCode(byte);
    if (parameter.value.length < this.valueLimit) parameter.value += symbol;
    else {
      const what = `too long "${parameter.value}${symbol}..." value of "${parameter.name}" parameter`;
      this.refuse(`${what} in "${name}" SSI command`);
    }
  }

  /** An unexpected byte; a dash may be the beginning of the command's end already. */
  private refuseAt(byte: number, where: string, state?: State): void {
    this.refuse(`unexpected "${String.fromCharCode(byte)}" ${where} "${this.name}" SSI command`);
    this.state = state ?? (byte === DASH ? State.errorEnd : State.error);
  }

  private refuse(message: string): void {
    this.report(message);
    this.state = State.error;
  }
}

/** How many bytes of `<!--#` piece[from..] ends with; at most four. */
function beginningAtEnd(piece: Buffer, from: number): number {
  const less = piece.lastIndexOf(60);
  const length = piece.length - less;
  if (less < from || length >= OPENING.length) return 0;
  for (let index = 1; index < length; index++) {
    if (piece[less + index] !== OPENING_BYTES[index]) return 0;
  }
  return length;
}
