/**
 * The SSI filter of one answer: text passes, commands are carried out where they stand. What an `include` brings comes
 * in through the places of core/subrequest-output.ts; one that is waited for stops the page until all before it is part
 * of the answer.
 */
import { BodyFilter } from '../../core/body-filter.ts';
import type { Exchange } from '../../core/exchange.ts';
import { log } from '../../core/log.ts';
import { awaitTurn } from '../../core/subrequest.ts';
import { COMMANDS, type SsiPage, type SsiSettings } from './commands.ts';
import { SsiError } from './expression.ts';
import { Found, SsiScanner } from './scanner.ts';
import { ssiState } from './state.ts';

const FILTER = Symbol('ssi filter');

/** The format `config timefmt` has set for an exchange; undefined where there is no SSI. */
export function timeFormatOf(exchange: Exchange): string | undefined {
  return exchange.state<SsiFilter>(FILTER)?.page.timeFormat;
}

export class SsiFilter extends BodyFilter {
  readonly page: SsiPage;
  private readonly settings: SsiSettings;
  private readonly scanner: SsiScanner;
  /** What has come and is not looked at yet: the page waits for something. */
  private readonly pending: Buffer[] = [];
  private waiting = false;
  private reading = false;
  private ending = false;
  /** `next` has as much as it takes. */
  private full = false;
  /** Whoever writes has been told to wait. */
  private owesRoom = false;

  constructor(exchange: Exchange, settings: SsiSettings) {
    super(exchange);
    this.settings = settings;
    this.scanner = new SsiScanner(settings.valueLength, (message) => this.report(message));
    this.page = {
      exchange,
      settings,
      timeFormat: undefined,
      errorMessage: '[an error occurred while processing the directive]',
      encoding: 'entity',
      shows: true,
      chosen: false,
      condition: 'none',
      inBlock: false,
      write: (text) => this.emit(text),
      report: (message) => this.report(message),
      wait: () => {
        this.waiting = true;
      },
    };
    exchange.setState(FILTER, this);
  }

  override write(chunk: Buffer | string): boolean {
    this.pending.push(typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk);
    this.read();
    if (this.hasRoom) return true;
    this.owesRoom = true;
    return false;
  }

  override flush(): void {
    if (this.pending.length === 0) this.next.flush();
  }

  override end(): void {
    this.ending = true;
    this.read();
  }

  override onRoom(): void {
    this.full = false;
    this.giveRoom();
  }

  private get hasRoom(): boolean {
    return !this.full && !this.waiting && this.pending.length === 0;
  }

  private giveRoom(): void {
    if (!this.owesRoom || !this.hasRoom) return;
    this.owesRoom = false;
    this.tellRoom();
  }

  /** Reads what is pending, until something has to be waited for. */
  private read(): void {
    if (this.reading) return;
    this.reading = true;
    const { pending, scanner, exchange } = this;
    while (!this.waiting && pending.length > 0) {
      if (this.readPiece(pending[0]!)) {
        pending.shift();
        scanner.position = 0;
      } else if (this.waiting) {
        awaitTurn(exchange, () => {
          this.waiting = false;
          this.read();
          this.giveRoom();
        });
      }
    }
    this.reading = false;
    if (!this.ending || this.waiting || pending.length > 0) return;
    this.ending = false;
    this.next.end();
  }

  /** @returns true when the piece has been read to its end */
  private readPiece(piece: Buffer): boolean {
    const { scanner, page } = this;
    for (;;) {
      switch (scanner.next(piece)) {
        case Found.nothing:
          return true;
        case Found.text:
          this.text(piece.subarray(scanner.textStart, scanner.textEnd));
          break;
        case Found.heldText:
          this.text(scanner.held);
          break;
        case Found.command:
          this.command();
          if (this.waiting) return false;
          break;
        case Found.error:
          if (!this.settings.silentErrors) this.emit(page.errorMessage);
          break;
      }
    }
  }

  private text(text: Buffer | string): void {
    const { page } = this;
    if (page.shows) this.emit(text);
    else if (page.inBlock) {
      const block = ssiState(this.exchange).blocks.at(-1);
      if (block !== undefined) block.text += typeof text === 'string' ? text : text.toString('latin1');
    }
  }

  private command(): void {
    const { page } = this;
    try {
      this.carryOut();
    } catch (error) {
      if (!(error instanceof SsiError)) throw error;
      if (error.message !== '') this.report(error.message);
      if (!this.settings.silentErrors) this.emit(page.errorMessage);
    }
  }

  /** @throws SsiError */
  private carryOut(): void {
    const { page } = this;
    const { name, parameters } = this.scanner.command;
    const command = COMMANDS.get(name);
    if (command === undefined) {
      if (page.shows) throw new SsiError(`invalid SSI command: "${name}"`);
      return;
    }
    if (!page.shows && !command.endsBlock) {
      if (page.inBlock) {
        // It is carried out where the block is shown.
        const written = parameters.map((parameter) => ` ${parameter.name}="${parameter.value}"`).join('');
        this.text(`<!--#${name}${written} -->`);
        return;
      }
      if (command.within === undefined) return;
    }
    if (command.within !== undefined && !command.within.includes(page.condition)) {
      throw new SsiError(`invalid context of SSI command: "${name}"`);
    }
    if (parameters.length > MOST_PARAMETERS) {
      throw new SsiError(`too many SSI command parameters: "${name}"`);
    }
    const values: Record<string, string> = {};
    for (const parameter of parameters) {
      if (!command.parameters.includes(parameter.name)) {
        throw new SsiError(`invalid parameter name: "${parameter.name}" in "${name}" SSI command`);
      }
      if (Object.hasOwn(values, parameter.name)) {
        throw new SsiError(`duplicate "${parameter.name}" parameter in "${name}" SSI command`);
      }
      values[parameter.name] = parameter.value;
    }
    for (const mandatory of command.mandatory) {
      if (!Object.hasOwn(values, mandatory)) {
        throw new SsiError(`mandatory "${mandatory}" parameter is absent in "${name}" SSI command`);
      }
    }
    command.carryOut(page, values);
  }

  private emit(text: Buffer | string): void {
    if (text.length > 0 && !this.next.write(text)) this.full = true;
  }

  private report(message: string): void {
    log(this.exchange, 'error', `${message} while sending response to client`);
  }
}

const MOST_PARAMETERS = 16;
