/**
 * The journal of a plan: its events, one JSON line each, in the order in which they happened. An event is durable before
 * anything follows from it, so that a call to the cloud is never unknown to the runner that comes next.
 */
import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { syncDirectory } from '../../common/atomic_file.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { type PlanEvent, planEvent } from '../state/events.ts';

/**
 * Reads the events of a journal; none where there is no file. A last line without its end was never finished, and nothing
 * followed from it: it is left out. Throws `OperatorError` for any other line that cannot be read.
 */
export function readJournal(path: string): PlanEvent[] {
  return parse(path, readIfThere(path)).events;
}

export class Journal {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Opens the journal for appending, and returns the events that it has. Only the process that has the plan's lock may do
   * that. Throws `OperatorError` for a damaged journal, and errors of the file system.
   */
  static open(path: string): { journal: Journal; events: PlanEvent[] } {
    const { events, bytes } = parse(path, readIfThere(path));
    const fd = openSync(path, 'a', 0o600);
    // A torn line would run into the next one.
    ftruncateSync(fd, bytes);
    fsyncSync(fd);
    syncDirectory(dirname(path));
    return { journal: new Journal(fd), events };
  }

  /** Appends an event durably. Throws errors of the file system: then nothing may follow from the event. */
  append(event: PlanEvent): void {
    const line = Buffer.from(`${JSON.stringify(event)}\n`);
    let written = 0;
    while (written < line.length) written += writeSync(this.#fd, line, written);
    fsyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function readIfThere(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

/** Returns the events, and the number of bytes up to the end of the last whole line. */
function parse(path: string, content: Buffer): { events: PlanEvent[]; bytes: number } {
  const bytes = content.lastIndexOf(0x0a) + 1;
  const lines = content.subarray(0, bytes).toString('utf8').split('\n').slice(0, -1);
  const events = lines.map((line, index) => {
    const event = planEvent.safeParse(jsonOf(line));
    if (event.success) return event.data;
    throw new OperatorError(
      1,
      `Line ${index + 1} of the journal ${basename(dirname(path))}/${basename(path)} cannot be read. Restore the file, or look at each target of the plan by hand.`,
    );
  });
  return { events, bytes };
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
