/**
 * A Debian machine of its own in a lab, on which packages can be installed: systemd as its pid 1, booted by systemd-nspawn
 * from a copy of a bare Debian (`debian_tree.ts`). It can be switched off and booted again; what is on its disk stays.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MadeCgroups } from '../../../lab/engines/cgroups.ts';
import type { Started } from '../../../lab/engines/container.ts';
import { missingHere, programPath } from '../../../lab/engines/need.ts';
import type { Lab, LabPart, LabProcess, RunOptions, RunResult } from '../../../lab/lab.ts';
import { buildClient } from '../../../lab/programs.ts';
import { copyDebianTree, type DebianRelease, hasDebianTree } from './debian_tree.ts';
import { bootByNspawn, MACHINE_SLICE } from './nspawn.ts';

const BOOT_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 5000;
const RECHECK_MS = 20;
const LOG_TAIL_CHARS = 2000;
/** Capabilities of a host's root that nspawn withholds, and what it filters: a watcher on the machine needs them. */
const AS_A_HOST = ['--capability=CAP_BPF,CAP_PERFMON', '--system-call-filter=bpf perf_event_open'];

export interface DebianMachineOptions {
  /** Paths of this machine that it sees read-only: source, and where it is there. */
  binds?: Record<string, string>;
  /** Its system. Default: Debian 12. */
  release?: DebianRelease;
}

export class DebianMachine implements LabPart {
  /** Its file system, while it is switched off. While it runs use `run`. */
  readonly root: string;
  readonly #lab: Lab;
  readonly #cgroup: string;
  readonly #cgroups: MadeCgroups;
  readonly #binds: string[];
  readonly #logFile: string;
  #nspawn: LabProcess | null = null;
  #firstPid: number | null = null;

  private constructor(lab: Lab, options: DebianMachineOptions) {
    this.#lab = lab;
    this.root = join(lab.home, 'debian');
    this.#logFile = join(lab.home, 'debian.log');
    this.#binds = Object.entries(options.binds ?? {}).map(([from, to]) => `--bind-ro=${from}:${to}`);
    this.#cgroup = join(MACHINE_SLICE, lab.tag);
    this.#cgroups = new MadeCgroups(lab.home, [MACHINE_SLICE]);
    this.#cgroups.add(this.#cgroup);
  }

  /** Used by `makeDebianMachine`. */
  static async make(lab: Lab, options: DebianMachineOptions): Promise<DebianMachine> {
    const machine = new DebianMachine(lab, options);
    lab.addPart(machine);
    await copyDebianTree(machine.root, options.release);
    // Nothing but the units under test starts; without a machine id it would be a first boot, which enables all.
    machine.write(
      '/etc/machine-id',
      `${lab.tag
        .replaceAll(/[^0-9a-f]/g, '')
        .padEnd(32, '0')
        .slice(0, 32)}\n`,
    );
    machine.write('/etc/hostname', 'lab-machine\n');
    for (const name of ['fetch', 'one_shot'] as const) {
      await buildClient({ cc: programPath('cc') }, name, join(machine.root, 'opt'));
    }
    return machine;
  }

  /** A file on its disk. */
  write(path: string, text: string, mode = 0o644): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), text, { mode });
  }

  /** Resolves when systemd takes commands; units may still be starting. Throws when that takes more than a minute. */
  async boot(): Promise<void> {
    const { root } = this;
    // Mounts of the boot before are gone.
    rmSync(join(root, 'run'), { recursive: true, force: true });
    mkdirSync(join(root, 'run'));
    const nspawn = bootByNspawn(this.#lab, {
      root,
      cgroup: this.#cgroup,
      logFile: this.#logFile,
      from: 'host',
      args: [...AS_A_HOST, ...this.#binds],
    });
    this.#nspawn = nspawn;
    let ended = false;
    void nspawn.exited.then(() => {
      ended = true;
    });
    const deadline = Date.now() + BOOT_TIMEOUT_MS;
    for (;;) {
      if (ended || Date.now() > deadline) {
        throw new Error(
          `the machine ${ended ? 'ended' : 'did not boot in time'}: ${this.console().slice(-LOG_TAIL_CHARS)}`,
        );
      }
      this.#firstPid = childOf(nspawn.pid);
      if (this.#firstPid !== null && existsSync(`/proc/${this.#firstPid}/root/run/systemd/private`)) return;
      await sleep(RECHECK_MS);
    }
  }

  /** Returns what it said on its console, over all boots. */
  console(): string {
    return readFileSync(this.#logFile, 'utf8');
  }

  /** Runs a program in the machine, as its root. */
  run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    if (this.#firstPid === null) throw new Error('the machine is switched off');
    const into = ['nsenter', `--target=${this.#firstPid}`, '--mount', '--uts', '--ipc', '--pid', '--cgroup'];
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LANG: 'C.UTF-8' };
    return this.#lab.run([...into, '--root', '--wdns=/', ...argv], {
      ...options,
      env: { ...env, ...options.env },
    });
  }

  /** Shuts down like a person would: units are stopped in order. */
  async powerOff(): Promise<void> {
    await this.run(['systemctl', 'poweroff']);
    await this.#nspawn?.exited;
    this.#nspawn = null;
    this.#firstPid = null;
  }

  /** Pulls its plug. Safe to call again. */
  async close(): Promise<void> {
    const nspawn = this.#nspawn;
    this.#nspawn = null;
    this.#firstPid = null;
    await nspawn?.stop('SIGTERM', STOP_GRACE_MS);
    this.closeNow();
  }

  closeNow(): void {
    for (const path of this.#cgroups.remove()) process.stderr.write(`The lab could not remove ${path}\n`);
  }
}

/** Makes a machine; `boot` switches it on. The first one on a checkout downloads a Debian, which takes a minute or two. */
export async function makeDebianMachine(
  lab: Lab,
  options: DebianMachineOptions = {},
): Promise<Started<DebianMachine>> {
  const needed = [
    'systemd-nspawn',
    'unshare',
    'nsenter',
    'cc',
    ...(hasDebianTree(options.release) ? [] : ['mmdebstrap' as const]),
  ];
  const why = missingHere(needed as Parameters<typeof missingHere>[0]);
  if (why !== null) return { engine: null, notAvailable: why };
  return { engine: await DebianMachine.make(lab, options), notAvailable: null };
}

/** nspawn's only child is the machine's first process; its stub, where there is one, is inside. */
function childOf(pid: number): number | null {
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const children = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim();
    if (children !== '') return Number(children.split(' ').at(-1));
  }
  return null;
}
