/** Characters of byte strings that are UTF-8, as far as nginx tells them: it does not look at all that may be wrong. */

/** The smallest code point, less one, that has so many bytes after its first. */
const ABOVE = [0, 0x7f, 0x7ff, 0xffff];
const LAST = 0x10ffff;

/** How many bytes the character at `position` has; 0 where there is none that is valid. */
function characterLength(text: string, position: number): number {
  const first = text.charCodeAt(position);
  if (first < 0x80) return 1;
  const following = first >= 0xf8 || first < 0xc2 ? 0 : first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
  if (following === 0 || position + following >= text.length) return 0;
  let code = first & (0x3f >> following);
  for (let index = 1; index <= following; index++) {
    const byte = text.charCodeAt(position + index);
    if (byte < 0x80) return 0;
    code = (code << 6) | (byte & 0x3f);
  }
  return code > ABOVE[following]! && code <= LAST ? following + 1 : 0;
}

/** The number of characters of a byte string; the number of its bytes where it is not UTF-8. */
export function utf8Length(text: string): number {
  let characters = 0;
  for (let position = 0; position < text.length; characters++) {
    const length = characterLength(text, position);
    if (length === 0) return text.length;
    position += length;
  }
  return characters;
}

/** The first characters of a byte string, as many as there are before anything that is not UTF-8. */
export function firstCharacters(text: string, count: number): string {
  let position = 0;
  for (let characters = 0; characters < count && position < text.length; characters++) {
    const length = characterLength(text, position);
    if (length === 0) break;
    position += length;
  }
  return text.slice(0, position);
}
