/**
 * The agent's last heartbeat, beside its spool, so that its state can be read without the collector and after
 * its end. `imdswatch doctor` reads it. The file is not synced, because it is about the present moment.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { writeFileAtomically } from '../../common/atomic_file.ts';
import { type Heartbeat, heartbeat } from '../../protocol/records.ts';

const FILE = 'state.json';
const content = z.object({ pid: z.int().min(1), boot_id: z.string(), heartbeat });
export type KeptState = z.infer<typeof content>;

export class StateFile {
  readonly #directory: string;
  readonly #bootId: string;
  failures = 0;

  constructor(directory: string, bootId: string) {
    this.#directory = directory;
    this.#bootId = bootId;
  }

  /** Writes the heartbeat. Failures are only counted: the spool logs that the disk cannot be written. */
  write(beat: Heartbeat): void {
    const state: KeptState = { pid: process.pid, boot_id: this.#bootId, heartbeat: beat };
    try {
      writeFileAtomically(this.#directory, FILE, JSON.stringify(state), { isDurable: false });
    } catch {
      this.failures += 1;
    }
  }
}

/** Returns null where there is no valid state. Throws errors of the file system, except ENOENT. */
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
