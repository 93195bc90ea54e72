/** The modules of nginx's upstream family. */
import type { Module } from '../../core/module.ts';
import { hash } from './hash.ts';
import { ipHash } from './ip-hash.ts';
import { keepalive } from './keepalive.ts';
import { leastConn } from './least-conn.ts';
import { random } from './random.ts';
import { upstream } from './upstream.ts';
import { zone } from './zone.ts';

export const upstreamModules: readonly Module[] = [
  upstream,
  zone,
  hash,
  ipHash,
  leastConn,
  random,
  keepalive,
];
