/** Spools in directories of their own, which are closed and deleted after each test. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'node:test';
import { pino } from 'pino';
import type { LaneName } from '../../../../agent/outbox/lanes.ts';
import { Spool, type SpoolOptions } from '../../../../agent/outbox/spool.ts';

const log = pino({ level: 'silent' });
export const LANES: readonly LaneName[] = ['v1', 'v2', 'rollup', 'coverage'];
/** More records, or bytes, than any test has. */
export const MANY = 100_000;

const directories: string[] = [];
const spools: Spool[] = [];
afterEach(closeSpools);

/** Closes every spool that was opened here, and deletes their directories. */
export async function closeSpools(): Promise<void> {
  for (const spool of spools.splice(0)) await spool.close();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
}

export function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-spool-'));
  directories.push(directory);
  return directory;
}

export function openSpool(directory: string, changes: Partial<SpoolOptions> = {}): Spool {
  const spool = new Spool({ directory, maxBytes: 8 * 1024 * 1024, hostId: 'i-1', log, ...changes });
  spools.push(spool);
  return spool;
}

export async function until(isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!isTrue()) {
    assert.ok(performance.now() < deadline, 'waited for too long');
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Returns a copy of the directory as a killed process leaves it: with all data of the kernel, and without clean-up. */
export function afterKill(directory: string): string {
  const copy = newDirectory();
  cpSync(directory, copy, { recursive: true });
  return copy;
}

export function drain(spool: Spool): string[] {
  const found: string[] = [];
  for (let batch = spool.takeBatch(MANY, MANY); batch !== null; batch = spool.takeBatch(MANY, MANY)) {
    found.push(...batch.records.map(String));
    spool.acknowledgeBatches(batch.seq, 0);
  }
  return found;
}

export function logFiles(directory: string): string[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith('.log'))
    .sort()
    .map((file) => join(directory, file));
}
