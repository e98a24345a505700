/** The programs that attempts are made of: Python, run on the lab's host or in another namespace as an ordinary user. */
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab, LabProcess, RunResult } from '../../../lab/lab.ts';

/** The user whom an unprivileged attempt runs as; it owns no file and is in no group. */
const NOBODY = '65534';
/** A version manager's Python may lie where that user cannot read it. */
const PYTHON = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';

/** Place where a program runs: a namespace with the environment of the programs in it. Default: the host. */
export type Place = 'pod' | { namespace: string; env?: Record<string, string> };

export class Attackers {
  readonly #lab: Lab;

  /** Copies the programs to where an ordinary user can read them. */
  constructor(lab: Lab) {
    this.#lab = lab;
    mkdirSync(join(lab.home, 'attempts'));
    for (const file of readdirSync(import.meta.dirname).filter((entry) => entry.endsWith('.py'))) {
      copyFileSync(join(import.meta.dirname, file), join(lab.home, 'attempts', file));
    }
    mkdirSync(join(lab.home, 'anyone'));
    chmodSync(join(lab.home, 'anyone'), 0o777);
  }

  /** Runs one attempt of a Python program as a user without any privilege. */
  unprivileged(file: string, attempt: string, tag: string, from?: Place): Promise<RunResult> {
    return this.#python([], file, attempt, tag, from);
  }

  /** Starts one that talks: resolves with it when it has said that its connection is open. */
  async conversing(attempt: string, tag: string, from?: Place): Promise<LabProcess> {
    const running = this.#lab.spawn(this.#argv([], 'callers.py', attempt, tag), {
      env: this.#env,
      ...(from !== undefined && { from }),
    });
    await nextLine(running);
    return running;
  }

  /** The same with one privilege: CAP_NET_RAW, which container engines give to every container. */
  withRawSockets(file: string, attempt: string, tag: string, from?: Place): Promise<RunResult> {
    const raw = '-all,+net_raw';
    const flags = ['--inh-caps', raw, '--ambient-caps', raw, '--bounding-set', raw];
    return this.#python(flags, file, attempt, tag, from);
  }

  #argv(privilege: readonly string[], file: string, attempt: string, tag: string): string[] {
    const user = ['setpriv', '--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', ...privilege];
    return [...user, PYTHON, '-B', '-S', join(this.#lab.home, 'attempts', file), attempt, tag];
  }

  get #env(): Record<string, string> {
    const { ipv4, ipv6 } = this.#lab.hostAddresses;
    return { OWN_ADDRESS: ipv4, OWN_ADDRESS_6: ipv6 ?? '', TMPDIR: join(this.#lab.home, 'anyone') };
  }

  async #python(
    privilege: readonly string[],
    file: string,
    attempt: string,
    tag: string,
    from?: Place,
  ): Promise<RunResult> {
    const result = await this.#lab.run(this.#argv(privilege, file, attempt, tag), {
      env: { ...this.#env, ...(typeof from === 'object' ? from.env : {}) },
      timeoutMs: 60_000,
      ...(from !== undefined && { from }),
    });
    assert.equal(result.status, 0, `${attempt}: ${result.stderr}`);
    return result;
  }
}

/** Resolves when a program has printed something; rejects when it ends without. */
export async function nextLine(running: LabProcess): Promise<void> {
  const said = new Promise<void>((resolve) => running.child.stdout?.once('data', () => resolve()));
  let complaint = '';
  running.child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    complaint += chunk;
  });
  const ended = running.exited.then(({ status }) => assert.fail(`it ended with ${status}: ${complaint}`));
  await Promise.race([said, ended]);
}
