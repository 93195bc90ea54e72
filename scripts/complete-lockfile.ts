/**
 * Adds to package-lock.json the optional platform packages (`…-darwin-arm64`, `…-win32-x64`, …) that
 * npm left out of it.
 *
 * npm records an optional dependency only when the registry can describe it. Behind a registry that
 * mirrors the packages of one platform only, `npm install` therefore writes a lockfile that `npm ci`
 * then refuses, there and everywhere else, with "Missing: … from lock file". The entries added here
 * carry the version and the platform; no integrity, since nobody could compute it.
 *
 * Run by `npm run lock`, which is the way to write the lockfile after package.json has changed.
 */
import { readFileSync, writeFileSync } from 'node:fs';

/** One package of a lockfile of version 3, as far as this script reads or writes it. */
interface LockedPackage {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

/** What a platform package's name says of the machines that it is for. */
const platformPattern =
  /(aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)-(arm64|arm|ia32|loong64|mips64el|ppc64|riscv64|s390x|x64)(?:-(gnu|musl))?/;

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, LockedPackage> };
const packages = lock.packages;
let added = 0;

for (const [location, entry] of Object.entries(packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const hoisted = `node_modules/${name}`;
    if (packages[hoisted] !== undefined || packages[`${location}/${hoisted}`] !== undefined) continue;
    const platform = platformPattern.exec(name);
    if (platform === null || !/^\d/.test(version)) {
      throw new Error(
        `${location} wants ${name}@${version}: no platform or exact version to be read from that`,
      );
    }
    const [, os, cpu, libc] = platform;
    packages[hoisted] = {
      version,
      cpu: [cpu],
      ...(entry.dev === true && { dev: true }),
      ...(libc !== undefined && { libc: [libc === 'gnu' ? 'glibc' : libc] }),
      optional: true,
      os: [os],
    };
    added++;
  }
}

lock.packages = Object.fromEntries(
  Object.entries(packages).sort(([left], [right]) => left.localeCompare(right, 'en')),
);
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`package-lock.json: ${added} platform packages added`);
