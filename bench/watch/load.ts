/** Runs programs that call. Each call has a number of its own in its query, by which its process is known. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from '../../common/operator_error.ts';
import type { Lab, RunResult } from '../../lab/lab.ts';
import { buildOneShot, findPrograms, type Programs } from '../../lab/programs.ts';
import { IMDS_IPV4 } from '../../protocol/endpoints.ts';

const CLIENTS_DIR = join(import.meta.dirname, 'clients');
const PATH = '/latest/meta-data/instance-id';
const TIME_LIMIT_MS = 125_000;

/** The calls of one load: the pid of each call by its number, and the program. */
export interface Made {
  pids: Map<number, number>;
  /** The value of /proc/PID/exe. */
  executable: string;
}

export interface LoadShape {
  calls: number;
  perSecond: number;
  callsPerConnection: number;
  /** True if each connection is made by a process of its own. */
  byChildren: boolean;
}

export class Load {
  readonly #lab: Lab;
  readonly #programs: Programs;
  readonly #oneShot: string;
  #next = 1;

  private constructor(lab: Lab, programs: Programs, oneShot: string) {
    this.#lab = lab;
    this.#programs = programs;
    this.#oneShot = oneShot;
  }

  /** Builds the programs in the lab's own directory. Throws OperatorError (3) if a program is missing. */
  static async build(lab: Lab): Promise<Load> {
    const programs = await findPrograms();
    if (programs.cc === null) {
      throw new OperatorError(
        3,
        'The benchmark needs a C compiler: install the package gcc (and libc6-dev).',
      );
    }
    for (const name of ['run_many', 'load']) {
      await promisify(execFile)(programs.cc, [
        '-O1',
        '-o',
        join(lab.home, name),
        join(CLIENTS_DIR, `${name}.c`),
      ]);
    }
    return new Load(lab, programs, (await buildOneShot(programs, lab.home))!);
  }

  /** Runs `curl` once for each call. */
  curls(count: number, atOnce: number): Promise<Made> {
    const url = `http://${IMDS_IPV4}${PATH}?n={}`;
    return this.#runMany(this.#programs.curl, ['-s', '-m', '10', url], count, atOnce);
  }

  /** Runs a program that connects, writes and exits without waiting for its answer. */
  oneShots(count: number): Promise<Made> {
    return this.#runMany(this.#oneShot, [`${PATH}?n={}`], count, 1);
  }

  async steady({ calls, perSecond, callsPerConnection, byChildren }: LoadShape): Promise<Made> {
    const executable = join(this.#lab.home, 'load');
    const shape = [calls, perSecond, callsPerConnection, byChildren ? 'child' : 'self'].map(String);
    const ended = await this.#lab.run([executable, String(this.#number(calls)), ...shape], {
      timeoutMs: TIME_LIMIT_MS,
    });
    return { pids: pidsOf(ended, calls), executable };
  }

  async #runMany(executable: string, argv: string[], count: number, atOnce: number): Promise<Made> {
    const runMany = [join(this.#lab.home, 'run_many'), this.#number(count), count, atOnce].map(String);
    const ended = await this.#lab.run([...runMany, executable, ...argv], { timeoutMs: TIME_LIMIT_MS });
    return { pids: pidsOf(ended, count), executable };
  }

  /** Returns the first of `count` numbers that no call has had. */
  #number(count: number): number {
    const first = this.#next;
    this.#next += count;
    return first;
  }
}

/** Throws if a load did not make its calls: then the measurement is worthless. */
function pidsOf({ status, stdout, stderr }: RunResult, count: number): Map<number, number> {
  const runs = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
  const failed = runs.filter((run) => run[2] !== 0).length;
  if (status !== 0 || runs.length !== count || failed > 0) {
    throw new Error(
      `the load ended with ${status}, ${runs.length} of ${count} calls, ${failed} failed: ${stderr.trim()}`,
    );
  }
  return new Map(runs.map(([number, pid]) => [number!, pid!]));
}
