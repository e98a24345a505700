/**
 * The agent's last heartbeat, beside its spool: what it said of itself is there without the collector, and after its end.
 * `imdswatch doctor` reads it. Not synced: it is about now.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { type Heartbeat, heartbeat } from '../../protocol/records.ts';

const FILE = 'state.json';
const content = z.object({ pid: z.int().min(1), boot_id: z.string(), heartbeat });
export type KeptState = z.infer<typeof content>;

export class StateFile {
  readonly #path: string;
  readonly #bootId: string;
  failures = 0;

  constructor(directory: string, bootId: string) {
    this.#path = join(directory, FILE);
    this.#bootId = bootId;
  }

  /** A disk that cannot be written is counted; the spool says so aloud. */
  write(beat: Heartbeat): void {
    const state: KeptState = { pid: process.pid, boot_id: this.#bootId, heartbeat: beat };
    const draft = `${this.#path}.new`;
    try {
      writeFileSync(draft, JSON.stringify(state), { mode: 0o600 });
      renameSync(draft, this.#path);
    } catch {
      this.failures += 1;
    }
  }
}

/** Null where there is none that can be understood. Throws what the file system throws, but for ENOENT. */
export function readState(directory: string): KeptState | null {
  let text: string;
  try {
    text = readFileSync(join(directory, FILE), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return content.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
