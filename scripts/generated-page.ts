/** Pages of docs/ that are made from the program itself. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Writes a page; with `--check` on the command line it is only compared, and the process fails where it differs.
 * @param name its file in docs/
 */
export function writePage(name: string, page: string): void {
  const path = fileURLToPath(new URL(`../docs/${name}`, import.meta.url));
  if (!process.argv.includes('--check')) writeFileSync(path, page);
  else if (readFileSync(path, 'utf8') !== page) {
    console.error(`docs/${name} is out of date: run \`npm run docs\``);
    process.exitCode = 1;
  }
}
