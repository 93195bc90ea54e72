/**
 * Checks that the imports among the files of src/ point the way the house allows, and run in no circle.
 *
 *     node scripts/check-imports.ts [root]
 *
 * Prints one line for each offence and exits with 1, or prints how much it has read and exits with 0.
 *
 * The files are parsed by TypeScript itself, so that a comment or a string never counts as an import,
 * and `export … from`, `import()` and `import('…').Type` always do. (TypeScript 7 calls its interface
 * unstable: the version is pinned, and this script's test says when a new one has moved something.)
 */
import { readdirSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import {
  isExportDeclaration,
  isImportDeclaration,
  isImportTypeNode,
  isStringLiteral,
  type Node,
  SyntaxKind,
} from 'typescript/unstable/ast';
import { API } from 'typescript/unstable/sync';

/** Which folders of src/ a folder may import from, beside itself. `cli` stands for src/cli.ts. */
const arrows: ReadonlyMap<string, readonly string[]> = new Map([
  ['cli', ['master', 'config', 'log']],
  [
    'master',
    ['worker', 'engines', 'modules', 'upstream', 'core', 'config', 'http', 'shared', 'log', 'event'],
  ],
  ['worker', ['engines', 'modules', 'upstream', 'core', 'config', 'http', 'shared', 'log', 'event']],
  ['engines', ['core', 'config', 'http', 'shared', 'log', 'event']],
  ['modules', ['upstream', 'core', 'config', 'http', 'shared', 'log', 'event']],
  ['core', ['config', 'http', 'shared', 'log', 'event']],
  ['upstream', ['config', 'http', 'shared', 'log', 'event']],
  ['log', ['event']],
  ['config', []],
  ['http', []],
  ['shared', []],
  ['event', []],
  ['version', []],
]);

/** One import of one file of ours by another. Paths are relative to the root, with forward slashes. */
export interface Import {
  readonly from: string;
  readonly to: string;
  /** Whether it is gone once the types are stripped, so that nothing is loaded because of it. */
  readonly typeOnly: boolean;
}

/** What checkImports found. */
export interface Findings {
  /** How many files it has read. */
  readonly files: number;
  /** How many imports between them. */
  readonly imports: number;
  /** One readable line for each import, and each circle, that breaks a rule; sorted. */
  readonly offences: readonly string[];
}

/**
 * Checks all the TypeScript files below `root`/src.
 *
 * @param root the repository, or a tree of the same shape
 */
export function checkImports(root: string): Findings {
  const files = sourceFiles(root);
  const imports = readImports(root, files);
  const offences = new Set<string>();
  for (const file of files) {
    if (!arrows.has(folderOf(file))) offences.add(`${file}: the house has no place for this file`);
  }
  for (const { from, to } of imports) {
    const reason = offenceOf(from, to);
    if (reason !== undefined) offences.add(`${from} -> ${to}: ${reason}`);
  }
  const runTime = imports.filter((each) => !each.typeOnly);
  for (const circle of findCircles(runTime)) {
    offences.add(`${circle.join(' -> ')}: these imports run in a circle`);
  }
  return { files: files.length, imports: imports.length, offences: [...offences].sort() };
}

/** Every .ts file below src/, sorted, relative to the root. */
function sourceFiles(root: string): string[] {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `src/${name.split(sep).join('/')}`)
    .sort();
}

/** The imports that name a file by its path, in the order in which they are written. */
function readImports(root: string, files: readonly string[]): Import[] {
  const found: Import[] = [];
  const typescript = new API({ cwd: root });
  try {
    const paths = files.map((file) => resolve(root, file));
    const snapshot = typescript.updateSnapshot({ openFiles: paths });
    for (const path of paths) {
      const source = snapshot.getDefaultProjectForFile(path)?.program.getSourceFile(path);
      if (source === undefined) throw new Error(`TypeScript does not give ${path}`);
      for (const specifier of source.imports) {
        if (!isStringLiteral(specifier) || !/^\.{0,2}\//.test(specifier.text)) continue;
        found.push({
          from: toRelative(root, path),
          to: toRelative(root, resolve(dirname(path), specifier.text)),
          typeOnly: isTypeOnly(specifier),
        });
      }
    }
  } finally {
    typescript.close(); // its process may write "context canceled" to our standard error on the way out
  }
  return found;
}

/** Whether the import that this specifier belongs to exists for the type checker only. */
function isTypeOnly(specifier: Node): boolean {
  const parent = specifier.parent;
  if (isImportDeclaration(parent)) return parent.importClause?.phaseModifier === SyntaxKind.TypeKeyword;
  if (isExportDeclaration(parent)) return parent.isTypeOnly;
  return isImportTypeNode(parent.parent); // import('…').Type; otherwise it is import('…'), which loads
}

function toRelative(root: string, path: string): string {
  return relative(root, path).split(sep).join('/');
}

/** `core` for src/core/phases.ts, `cli` for src/cli.ts. */
function folderOf(file: string): string {
  return file.split('/')[1].replace(/\.ts$/, '');
}

/** `proxy` for src/modules/proxy.ts and for any file in src/modules/proxy/. */
function moduleOf(file: string): string {
  return file.split('/')[2].replace(/\.ts$/, '');
}

/** Says which rule an import breaks, if any. */
function offenceOf(from: string, to: string): string | undefined {
  if (!to.startsWith('src/')) return 'src must not import what is outside it';
  const fromFolder = folderOf(from);
  const toFolder = folderOf(to);
  if (toFolder === 'version') return undefined;
  if (fromFolder === toFolder) {
    if (fromFolder !== 'modules' || moduleOf(from) === 'index' || moduleOf(from) === moduleOf(to)) {
      return undefined;
    }
    return 'a module must not import another module; what they share goes to core or upstream';
  }
  if (arrows.get(fromFolder)?.includes(toFolder)) return undefined;
  return `${fromFolder} must not import ${toFolder}`;
}

/**
 * Finds the circles: one, the shortest there is, through the first file (by name) of each set of files
 * that all import each other.
 *
 * @returns for each the files in order, the first again at the end
 */
function findCircles(imports: readonly Import[]): string[][] {
  const targets = new Map<string, Set<string>>();
  for (const { from, to } of imports) {
    const known = targets.get(from);
    if (known === undefined) targets.set(from, new Set([to]));
    else known.add(to);
  }
  const circles: string[][] = [];
  const inCircle = new Set<string>();
  for (const start of [...targets.keys()].sort()) {
    if (inCircle.has(start)) continue;
    const circle = shortestWayBack(start, targets);
    if (circle === undefined) continue;
    for (const file of circle) inCircle.add(file);
    circles.push(circle);
  }
  return circles;
}

/** Breadth first from a file along its imports, until one leads to the file again. */
function shortestWayBack(
  start: string,
  targets: ReadonlyMap<string, ReadonlySet<string>>,
): string[] | undefined {
  const reachedFrom = new Map<string, string>();
  const queue = [start];
  for (const file of queue) {
    for (const target of targets.get(file) ?? []) {
      if (target === start) {
        const way = [start];
        for (let at: string | undefined = file; at !== undefined; at = reachedFrom.get(at)) way.unshift(at);
        return way;
      }
      if (reachedFrom.has(target)) continue;
      reachedFrom.set(target, file);
      queue.push(target);
    }
  }
  return undefined;
}

if (import.meta.main) {
  const root = resolve(process.argv[2] ?? join(import.meta.dirname, '..'));
  const { files, imports, offences } = checkImports(root);
  for (const offence of offences) console.log(offence);
  if (offences.length > 0) process.exitCode = 1;
  else console.log(`${imports} imports among ${files} files of src: all as the house allows`);
}
