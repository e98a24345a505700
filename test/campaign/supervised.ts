/** An agent or a collector of a campaign: starts it again as a service manager would, and keeps what it says. */
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabProcess } from '../../lab/lab.ts';

const RESTART_MS = 1_000;

export class Supervised {
  readonly name: string;
  readonly #spawn: () => LabProcess;
  readonly #logFile: string;
  #running: LabProcess | null = null;
  #wanted = false;
  /** Holds what the process has printed since it was started. */
  #said = '';
  starts = 0;
  /** Statuses or signals of unexpected ends. */
  readonly surprises: string[] = [];

  /** `spawn` is asked for every start. What it prints is appended to `logFile`. */
  constructor(name: string, spawn: () => LabProcess, logFile: string) {
    this.name = name;
    this.#spawn = spawn;
    this.#logFile = logFile;
  }

  start(): void {
    this.#wanted = true;
    if (this.#running !== null) return;
    const running = this.#spawn();
    this.#running = running;
    this.starts += 1;
    let last = '';
    this.#said = '';
    const keep = (chunk: string) => {
      last = chunk;
      if (this.#running === running) this.#said += chunk;
      appendFileSync(this.#logFile, chunk);
    };
    running.child.stdout?.setEncoding('utf8').on('data', keep);
    running.child.stderr?.setEncoding('utf8').on('data', keep);
    void running.exited.then(async ({ status, signal }) => {
      appendFileSync(this.#logFile, `-- ended: ${signal ?? status}\n`);
      if (this.#running !== running) return;
      this.#running = null;
      if (!this.#wanted) return;
      this.surprises.push(
        `${this.name} ended by itself with ${signal ?? status}: ${last.trim().slice(-400)}`,
      );
      await sleep(RESTART_MS);
      if (this.#wanted) this.start();
    });
  }

  /** Ends it and waits until it has ended; `start` starts it again. */
  async end(signal: NodeJS.Signals): Promise<void> {
    this.#wanted = false;
    const running = this.#running;
    this.#running = null;
    await running?.stop(signal, 10_000);
  }

  /** True if `one` was printed since the start, and `other` was not printed after it. */
  saidAfter(one: string, other: string): boolean {
    return this.#said.lastIndexOf(one) > this.#said.lastIndexOf(other);
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#running?.child.kill(signal);
  }
}
