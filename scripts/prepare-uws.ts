/**
 * Makes uWebSockets.js load on a Linux whose glibc is older than 2.38 (Debian 12, Ubuntu 22.04, RHEL 9): scripts/setup.sh
 * runs it after it has installed the dependencies.
 *
 *     node scripts/prepare-uws.ts [folder of uWebSockets.js]
 *
 * Its binaries were linked on a system with glibc 2.38, where strtol, strtoul and sscanf go by new names. They are all it
 * needs of that version. Here those symbols are pointed at the plain names, which every glibc has, and the need for
 * version 2.38 is marked as weak, so that the loader only warns of it, if at all. The new functions differ from the plain
 * ones in that they read binary numbers (`0b1`), which nothing in uWebSockets.js gives them.
 *
 * Only a file whose checksum is in the list below is touched, and only where it would not load otherwise; a file that has
 * been changed already is left as it is.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** SHA-256 of the files of 20.57.0 that ask for glibc 2.38, by architecture and NODE_MODULE_VERSION. */
const KNOWN: ReadonlyMap<string, string> = new Map([
  ['uws_linux_x64_115.node', '5b126ee00bf754b02e97e4c27090365a8562c5820c93f93918ac2212d4503e91'],
  ['uws_linux_x64_127.node', '4b55b1f2cb7a7913febbb65a89496412b96af77e838552980092ba6b33723aac'],
  ['uws_linux_x64_137.node', '98128405dba2fb608448e921a979530f70c946a2cc9889c15f2fa70c2d00ab05'],
  ['uws_linux_x64_141.node', '813d788b347c6fd76b779d8932311ec05a044e612b4b83af220f16e6ea789683'],
  ['uws_linux_arm64_115.node', '6bdbc8ff976b4371af1906175e9025804bacc38a414969f4f02314e6b99f206c'],
  ['uws_linux_arm64_127.node', '82b79bd18d1e3563de336156005bd01b7f39fc387b65173d69a29da4ee79f895'],
  ['uws_linux_arm64_137.node', '88618b30ddf6b2b62310db89f40a701616676352aac5e0f6184dd8ef876199ce'],
  ['uws_linux_arm64_141.node', '81d0186dd1549ed6a7f47e68e323573fc27d69d2920527654ce2dd993af2b0ec'],
]);

const NEEDED_VERSION = 'GLIBC_2.38';
const NEW_PREFIX = '__isoc23_';

/** ELF-64, little endian: sizes and offsets of what is looked at, as in elf.h. */
const SECTION_TABLE = 0x28;
const SECTION_COUNT = 0x3c;
const SECTION_SIZE = 64;
const SECTION_DYNSYM = 11;
const SECTION_VERSYM = 0x6fff_ffff;
const SECTION_VERNEED = 0x6fff_fffe;
const SYMBOL_SIZE = 24;
const WEAK = 2;

interface Section {
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

function readSections(file: Buffer): Section[] {
  const table = Number(file.readBigUInt64LE(SECTION_TABLE));
  return Array.from({ length: file.readUInt16LE(SECTION_COUNT) }, (_unused, index) => {
    const at = table + index * SECTION_SIZE;
    return {
      type: file.readUInt32LE(at + 4),
      offset: Number(file.readBigUInt64LE(at + 24)),
      size: Number(file.readBigUInt64LE(at + 32)),
      link: file.readUInt32LE(at + 40),
    };
  });
}

/** One version of one library that the file needs. */
interface NeededVersion {
  readonly library: string;
  readonly name: string;
  /** By which symbols refer to it. */
  readonly index: number;
  /** Offset of its entry. */
  readonly offset: number;
}

function readNeededVersions(
  file: Buffer,
  section: Section,
  text: (offset: number) => string,
): NeededVersion[] {
  const found: NeededVersion[] = [];
  for (let at = section.offset; ; ) {
    const library = text(file.readUInt32LE(at + 4));
    let entry = at + file.readUInt32LE(at + 8);
    for (let count = file.readUInt16LE(at + 2); count > 0; count--) {
      const name = text(file.readUInt32LE(entry + 8));
      found.push({ library, name, index: file.readUInt16LE(entry + 6), offset: entry });
      entry += file.readUInt32LE(entry + 12);
    }
    const next = file.readUInt32LE(at + 12);
    if (next === 0) return found;
    at += next;
  }
}

/**
 * Takes the need for glibc 2.38 out of a binary.
 * @param file changed in place
 * @returns the names of the symbols that have been pointed elsewhere
 * @throws Error where it is not the kind of file that this is made for
 */
export function removeNeed(file: Buffer): string[] {
  if (file.readUInt32BE(0) !== 0x7f45_4c46 || file[4] !== 2 || file[5] !== 1) {
    throw new Error('not an ELF file of 64 bits, little endian');
  }
  const sections = readSections(file);
  const section = (type: number): Section => {
    const found = sections.find((each) => each.type === type);
    if (found === undefined) throw new Error(`it has no section of type ${type}`);
    return found;
  };
  const symbols = section(SECTION_DYNSYM);
  const strings = sections[symbols.link]!;
  const text = (offset: number): string => {
    const start = strings.offset + offset;
    return file.toString('latin1', start, file.indexOf(0, start));
  };
  const versions = readNeededVersions(file, section(SECTION_VERNEED), text).filter(
    ({ library }) => library === 'libc.so.6',
  );
  const needed = versions.find(({ name }) => name === NEEDED_VERSION);
  if (needed === undefined) throw new Error(`it does not need ${NEEDED_VERSION}`);
  // The version that everything old belongs to: that of the architecture's beginnings.
  const base =
    versions.find(({ name }) => name === 'GLIBC_2.2.5') ?? versions.find(({ name }) => name === 'GLIBC_2.17');
  if (base === undefined) throw new Error('it needs no old version of glibc');

  const versionTable = section(SECTION_VERSYM).offset;
  const changed: string[] = [];
  for (let index = 0; index < symbols.size / SYMBOL_SIZE; index++) {
    if (file.readUInt16LE(versionTable + index * 2) !== needed.index) continue;
    const at = symbols.offset + index * SYMBOL_SIZE;
    const nameOffset = file.readUInt32LE(at);
    const name = text(nameOffset);
    if (!name.startsWith(NEW_PREFIX)) throw new Error(`it needs ${name} of ${NEEDED_VERSION}`);
    file.writeUInt32LE(nameOffset + NEW_PREFIX.length, at);
    file.writeUInt16LE(base.index, versionTable + index * 2);
    changed.push(name);
  }
  file.writeUInt16LE(file.readUInt16LE(needed.offset + 4) | WEAK, needed.offset + 4);
  return changed;
}

/** The version of glibc this process runs on, as `2.36`; undefined where it is another C library. */
export function glibcVersion(): string | undefined {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime;
}

/** Whether a version of glibc has what the binaries ask for. */
export function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 2 || (major === 2 && minor >= 38);
}

/** What has been done, and why. */
export interface Preparation {
  readonly changed: boolean;
  readonly reason: string;
}

/** The binary for this platform. */
export const OWN_NAME = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;

/**
 * Prepares a binary in a folder.
 * @param version of glibc; undefined where there is none
 */
export function prepare(folder: string, version: string | undefined, name = OWN_NAME): Preparation {
  const leave = (reason: string): Preparation => ({ changed: false, reason });
  if (version === undefined) return leave('there is no glibc here');
  if (isNewEnough(version)) return leave(`glibc ${version} has all it needs`);
  const path = join(folder, name);
  const checksum = KNOWN.get(name);
  if (checksum === undefined || !existsSync(path)) return leave(`there is no ${name} to prepare`);
  const file = readFileSync(path);
  if (createHash('sha256').update(file).digest('hex') !== checksum) {
    return leave(`${name} is prepared, or another one than is known`);
  }
  const symbols = removeNeed(file);
  // A file of its own: npm may have linked this one to its cache, and a process may have loaded it.
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, file, { mode: 0o755 });
  renameSync(temporary, path);
  return { changed: true, reason: `${name} no longer asks for ${symbols.join(', ')} of ${NEEDED_VERSION}` };
}

if (import.meta.main) {
  const folder = process.argv[2] ?? fileURLToPath(new URL('../node_modules/uWebSockets.js', import.meta.url));
  const { changed, reason } = prepare(folder, glibcVersion());
  if (changed) console.error(`portico: ${reason}`);
}
