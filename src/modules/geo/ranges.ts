/** The entries of a `geo` block with `ranges`: IPv4 addresses from one to another. */
import type { AddressRange } from '../../http/address-table.ts';
import { formatIPv4 } from '../../http/ip-address.ts';

/** Part of a range, inside one block of 65536 addresses: offsets in it. */
interface Piece {
  first: number;
  last: number;
  value: string;
}

/**
 * Ranges of IPv4 addresses. nginx keeps them by blocks of 65536 addresses, and so whether a range fits in among others
 * is decided block by block: a range may be inside another, or start or end with it, but not begin in one and end
 * outside.
 */
export class GeoRanges {
  readonly #blocks = new Map<number, Piece[]>();

  /**
   * Adds a range, both ends included.
   * @param warn hears of a part that was there already, with its value
   * @returns undefined, or the range that is in the way, in text
   */
  add(first: number, last: number, value: string, warn: (previous: string) => void): string | undefined {
    for (const part of partsOf(first, last)) {
      let pieces = this.#blocks.get(part.block);
      if (pieces === undefined) {
        pieces = [];
        this.#blocks.set(part.block, pieces);
      }
      const obstacle = insert(pieces, { first: part.first, last: part.last, value }, warn);
      if (obstacle !== undefined) {
        const base = part.block * 0x10000;
        return `${formatIPv4(base + obstacle.first)}-${formatIPv4(base + obstacle.last)}`;
      }
    }
    return undefined;
  }

  /** Deletes a range. @returns false where it, or a part of it, is not there as it stands */
  delete(first: number, last: number): boolean {
    let complete = true;
    for (const part of partsOf(first, last)) {
      const pieces = this.#blocks.get(part.block) ?? [];
      const index = pieces.findIndex((piece) => piece.first === part.first && piece.last === part.last);
      if (index < 0) complete = false;
      else pieces.splice(index, 1);
    }
    return complete;
  }

  /** All of them; no two overlap. */
  ranges(): AddressRange<string>[] {
    const ranges: AddressRange<string>[] = [];
    for (const [block, pieces] of this.#blocks) {
      const base = block * 0x10000;
      for (const { first, last, value } of pieces) {
        ranges.push({ first: BigInt(base + first), last: BigInt(base + last), value });
      }
    }
    return ranges;
  }
}

/** The parts of a range in each of the blocks it touches. */
function* partsOf(first: number, last: number): Generator<{ block: number; first: number; last: number }> {
  const lastBlock = Math.floor(last / 0x10000);
  for (let block = Math.floor(first / 0x10000); block <= lastBlock; block++) {
    const base = block * 0x10000;
    yield { block, first: Math.max(first - base, 0), last: Math.min(last - base, 0xffff) };
  }
}

/** Puts a piece among others, which are in order. @returns the one that is in the way */
function insert(pieces: Piece[], piece: Piece, warn: (previous: string) => void): Piece | undefined {
  // From the end, since files have their ranges in order.
  for (let index = pieces.length - 1; index >= 0; index--) {
    const other = pieces[index]!;
    if (piece.last < other.first) continue;
    if (piece.first > other.last) {
      pieces.splice(index + 1, 0, piece);
      return undefined;
    }
    if (piece.first === other.first && piece.last === other.last) {
      warn(other.value);
      other.value = piece.value;
      return undefined;
    }
    if (piece.first < other.first || piece.last > other.last) return other;
    // Inside the other one: what is left of it stays on both sides.
    const parts: Piece[] = [piece];
    if (piece.first > other.first) parts.unshift({ ...other, last: piece.first - 1 });
    if (piece.last < other.last) parts.push({ ...other, first: piece.last + 1 });
    pieces.splice(index, 1, ...parts);
    return undefined;
  }
  pieces.unshift(piece);
  return undefined;
}
