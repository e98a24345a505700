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
    const keep = (chunk: string) => {
      last = chunk;
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

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#running?.child.kill(signal);
  }
}
