/** A wall clock that a test can set for the processes that it starts, and for nobody else. */
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SOURCE = join(import.meta.dirname, 'stepped_clock.c');

/** Null, or why there can be none here. */
export function noSteppedClock(): string | false {
  return spawnSync('cc', ['--version']).status === 0 ? false : 'needs a C compiler for a clock of its own';
}

export class SteppedClock {
  readonly #file: string;
  readonly #library: string;
  #seconds = 0;

  /** Compiles it into `directory`. */
  constructor(directory: string) {
    this.#file = join(directory, 'clock');
    this.#library = join(directory, 'stepped_clock.so');
    writeFileSync(this.#file, Buffer.alloc(24));
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', this.#library, SOURCE, '-ldl']);
  }

  /**
   * Seconds that the clock is off from now on, for every process that has it. Packets that the kernel has captured before
   * keep their times, even if they are read later.
   */
  set(seconds: number): void {
    const numbers = [seconds, this.#seconds, Date.now() * 1_000];
    this.#seconds = seconds;
    writeFileSync(this.#file, BigInt64Array.from(numbers, BigInt), { flag: 'r+' });
  }

  get env(): Record<string, string> {
    return { LD_PRELOAD: this.#library, IMDSWATCH_TEST_CLOCK: this.#file };
  }

  /** Returns the time that a new process reads, in milliseconds since 1970. */
  read(): number {
    const [program, ...args] = [process.execPath, '-p', 'Date.now()'];
    return Number(execFileSync(program!, args, { env: { ...process.env, ...this.env }, encoding: 'utf8' }));
  }
}
