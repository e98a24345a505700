/**
 * A root directory of another system in which the package runs as on a host of its own: with the lab's network, the
 * machine's kernel, and nothing else of this machine. What is checked is the same for every such system.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { programPath } from '../../../lab/engines/need.ts';
import type { Lab, RunResult } from '../../../lab/lab.ts';
import { buildClient } from '../../../lab/programs.ts';
import type { Call } from '../../../protocol/call.ts';
import { Watcher } from '../lab/watcher.ts';
import { captureOfOneRead } from './run.ts';

const CALLER = '/opt/fetch';
const CAPTURE = '/opt/one.pcap';

/** With the arguments ROOT READ_ONLY COMMAND…: becomes COMMAND in the tree. READ_ONLY is a directory of it, or empty. */
const ENTER = `root=$1 read_only=$2
shift 2
mount --make-rprivate /
mount -t proc proc "$root/proc" && mount --rbind /sys "$root/sys" && mount --rbind /dev "$root/dev" || exit 120
if [ -n "$read_only" ]; then
  mount --bind "$root$read_only" "$root$read_only" && mount -o remount,bind,ro "$root$read_only" || exit 121
fi
exec chroot "$root" "$@"`;

export interface HostTreeOptions {
  lab: Lab;
  root: string;
  /** Path of the command in the tree. */
  imdswatch: string;
  /** Directory of the package in the tree, all files of which must be its own. */
  code: string;
  /** Path in the tree that is mounted read-only. */
  readOnly?: string;
}

export interface TreeResult {
  version: string;
  /** Status of each check of `imdswatch doctor` that concerns the host: `ok`, `warn`, `fail`. */
  doctor: Record<string, string>;
  calls: number;
  exact: number;
}

export class HostTree {
  readonly #options: HostTreeOptions;

  constructor(options: HostTreeOptions) {
    this.#options = options;
  }

  /** Adds what the checks need: a caller without libraries, a capture file, places to mount on. */
  async furnish(): Promise<void> {
    const { root } = this.#options;
    for (const name of ['dev', 'opt', 'proc', 'sys', 'tmp']) mkdirSync(join(root, name), { recursive: true });
    writeFileSync(join(root, CAPTURE), captureOfOneRead());
    await buildClient({ cc: programPath('cc') }, 'fetch', join(root, 'opt'));
  }

  #enter(argv: readonly string[]): string[] {
    const { root, readOnly } = this.#options;
    return ['unshare', '--mount', 'sh', '-c', ENTER, 'sh', root, readOnly ?? '', ...argv];
  }

  run(argv: readonly string[]): Promise<RunResult> {
    return this.#options.lab.run(this.#enter(argv), { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } });
  }

  async #succeeds(argv: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(argv);
    assert.equal(status, 0, `${argv.join(' ')}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Runs the commands that a host runs. Fails where one does not work; how exact the attribution is, is the result. */
  async check(calls: number): Promise<TreeResult> {
    const { imdswatch } = this.#options;
    const version = (await this.#succeeds([imdswatch, '--version'])).trim();
    const read = JSON.parse(await this.#succeeds([imdswatch, 'read', CAPTURE, '--json'])) as Call;
    assert.equal(read['url.path'], '/latest/meta-data/instance-id');
    const { stdout } = await this.run([imdswatch, 'doctor', '--json']);
    const { findings } = JSON.parse(stdout) as { findings: { check: string; status: string }[] };
    const doctor: Record<string, string> = {};
    for (const { check, status } of findings.filter(({ check }) =>
      ['kernel', 'eBPF', 'capture'].includes(check),
    ))
      doctor[check] = status;
    assert.equal(doctor['capture'], 'ok', stdout);
    return { version, doctor, ...(await this.#watch(calls)) };
  }

  /** One-shot callers in the tree, each of which must be named. */
  async #watch(calls: number): Promise<{ calls: number; exact: number }> {
    const { lab, imdswatch, code } = this.#options;
    const watcher = await Watcher.start(lab, this.#enter([imdswatch, 'watch', '--json']));
    try {
      const mapped = readFileSync(`/proc/${watcher.pid}/maps`, 'utf8').match(/\/.*\.(so|node)[.0-9]*$/gm);
      assert.ok(mapped!.length > 0);
      for (const path of mapped!) assert.ok(path.includes(code), `${path} is not the package's own`);
      for (let index = 0; index < calls; index++)
        await this.#succeeds([CALLER, `/latest/meta-data/tags/instance/t${index}`]);
      const seen = await watcher.settle(calls);
      const named = seen.map((call) => call.process?.['executable.path']);
      assert.deepEqual(
        named,
        Array.from({ length: calls }, () => CALLER),
        watcher.complaints,
      );
      const exact = seen.filter((call) => call['attribution.confidence'] === 'exact').length;
      return { calls: seen.length, exact };
    } finally {
      await watcher.stop();
    }
  }
}

/** Tells whether this kernel has what exact attribution needs. */
export function kernelIsExact(): boolean {
  return existsSync('/sys/kernel/btf/vmlinux');
}
