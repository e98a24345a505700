/**
 * A machine of its own in a lab: systemd as its pid 1, booted by systemd-nspawn from this machine's own /usr. It costs no
 * download and next to no disk; only /etc and what it writes are its own. Where this machine's own pid 1 is no systemd,
 * units can be had in no other way.
 */
import { randomUUID } from 'node:crypto';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MadeCgroups } from '../../../lab/engines/cgroups.ts';
import type { Started } from '../../../lab/engines/container.ts';
import { missingHere, programPath } from '../../../lab/engines/need.ts';
import type { Lab, LabPart, LabProcess } from '../../../lab/lab.ts';
import { buildClient } from '../../../lab/programs.ts';
import { bootByNspawn, MACHINE_SLICE, systemdMounts } from './nspawn.ts';

const BOOT_TIMEOUT_MS = 90_000;
const STOP_GRACE_MS = 5000;
const RECHECK_MS = 20;
const LOG_TAIL_CHARS = 2000;
const BOOTED = 'var/booted';
/** Name of the user whose units `userUnits` are. */
export const MACHINE_USER = { name: 'labuser', uid: 1000 } as const;

const FILES = [
  { path: '/usr/lib/systemd/systemd', debianPackage: 'systemd' },
  { path: '/usr/bin/dbus-daemon', debianPackage: 'dbus' },
];

export interface MachineOptions {
  /** Units by their file name, as `hello@.service`. In them /opt has the lab's static callers, `fetch` and `one_shot`. */
  units: Record<string, string>;
  /** Which of them start, as `hello@one.service` or `hello.timer`. */
  enabled: readonly string[];
  /** Units of the user's own systemd. */
  userUnits?: Record<string, string>;
  userEnabled?: readonly string[];
  /** Network that it has: the lab host's (the default), or the pod's, a veth behind the host; see `Lab.addPod`. */
  from?: 'host' | 'pod';
}

export class Machine implements LabPart {
  readonly #cgroup: string;
  readonly #cgroups: MadeCgroups;
  #nspawn: LabProcess | null = null;

  private constructor(lab: Lab) {
    this.#cgroup = join(MACHINE_SLICE, lab.tag);
    this.#cgroups = new MadeCgroups(lab.home, [MACHINE_SLICE]);
    this.#cgroups.add(this.#cgroup);
  }

  /** Used by `startMachine`. */
  static async boot(lab: Lab, options: MachineOptions): Promise<Machine> {
    const machine = new Machine(lab);
    lab.addPart(machine);
    try {
      await machine.#boot(lab, options);
      return machine;
    } catch (error) {
      await machine.close();
      throw error;
    }
  }

  async #boot(lab: Lab, options: MachineOptions): Promise<void> {
    const root = join(lab.home, 'machine');
    furnish(root, options);
    for (const name of ['fetch', 'one_shot'] as const) {
      await buildClient({ cc: programPath('cc') }, name, join(root, 'opt'));
    }
    const logFile = join(lab.home, 'machine.log');
    const nspawn = bootByNspawn(lab, {
      root,
      cgroup: this.#cgroup,
      logFile,
      from: options.from ?? 'host',
      args: ['--bind-ro=/usr'],
    });
    this.#nspawn = nspawn;
    let ended = false;
    void nspawn.exited.then(() => {
      ended = true;
    });
    const deadline = Date.now() + BOOT_TIMEOUT_MS;
    while (!existsSync(join(root, BOOTED))) {
      if (ended || Date.now() > deadline) {
        const words = readFileSync(logFile, 'utf8').slice(-LOG_TAIL_CHARS);
        throw new Error(`the machine ${ended ? 'ended' : 'did not boot in time'}: ${words}`);
      }
      await sleep(RECHECK_MS);
    }
  }

  /** Pids, as the host sees them, of a unit: of a user's unit with `user`. Empty when it does not run. */
  pidsOf(unit: string, owner: 'system' | 'user' = 'system'): number[] {
    const slice = owner === 'user' ? userSlice() : systemSlice(unit);
    for (const mount of systemdMounts()) {
      const file = join(mount, this.#cgroup, 'payload', slice, unit, 'cgroup.procs');
      if (!existsSync(file)) continue;
      const pids = readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number);
      if (pids.length > 0) return pids;
    }
    return [];
  }

  /** Switches it off at once. Safe to call again. */
  async close(): Promise<void> {
    const nspawn = this.#nspawn;
    this.#nspawn = null;
    await nspawn?.stop('SIGTERM', STOP_GRACE_MS);
    this.closeNow();
  }

  /** Returns what is left when all its processes have been ended. */
  closeNow(): void {
    for (const path of this.#cgroups.remove()) process.stderr.write(`The lab could not remove ${path}\n`);
  }
}

/** Boots a machine in the lab. Throws when the programs are here but it does not boot within 30 s. */
export async function startMachine(lab: Lab, options: MachineOptions): Promise<Started<Machine>> {
  const why = missingHere(['systemd-nspawn', 'unshare', 'cc'], FILES);
  if (why !== null) return { engine: null, notAvailable: why };
  if (!lstatSync('/bin').isSymbolicLink()) {
    return { engine: null, notAvailable: 'not available: programs here are not all in /usr' };
  }
  return { engine: await Machine.boot(lab, options), notAvailable: null };
}

/** Instances of a template are in a slice of the template's own (systemd.service(5), "Automatic dependencies"). */
function systemSlice(unit: string): string {
  const template = unit.match(/^(.+)@.*\.service$/)?.[1];
  return template === undefined
    ? 'system.slice'
    : `system.slice/system-${template.replaceAll('-', '\\x2d')}.slice`;
}

function userSlice(): string {
  const { uid } = MACHINE_USER;
  return `user.slice/user-${uid}.slice/user@${uid}.service/app.slice`;
}

/** The machine's root: its own /etc, links into /usr, empty directories for the rest. */
function furnish(root: string, options: MachineOptions): void {
  for (const name of ['dev', 'etc', 'home', 'opt', 'proc', 'root', 'run', 'sys', 'tmp', 'usr', 'var']) {
    mkdirSync(join(root, name), { recursive: true });
  }
  for (const name of ['bin', 'sbin', 'lib', 'lib32', 'lib64']) {
    if (existsSync(`/${name}`)) symlinkSync(`usr/${name}`, join(root, name));
  }
  const { name, uid } = MACHINE_USER;
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  write('etc/os-release', 'NAME=lab\nID=lab\n');
  // Without one it would be a first boot, which enables every unit that this machine's packages brought.
  write('etc/machine-id', `${randomUUID().replaceAll('-', '')}\n`);
  write(
    'etc/passwd',
    `root:x:0:0::/root:/bin/sh\nmessagebus:x:100:100::/:/bin/false\n${name}:x:${uid}:${uid}::/home/${name}:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n`,
  );
  write('etc/group', `root:x:0:\nmessagebus:x:100:\n${name}:x:${uid}:\nnogroup:x:65534:\n`);
  write('etc/shadow', `root:*:20000::::::\n${name}:*:20000::::::\n`);
  write('etc/pam.d/systemd-user', 'account required pam_unix.so\nsession optional pam_systemd.so\n');
  write('etc/pam.d/other', 'auth required pam_deny.so\n');
  mkdirSync(join(root, 'home', name));
  chownSync(join(root, 'home', name), uid, uid);

  const install = (
    manager: 'system' | 'user',
    target: string,
    units: Record<string, string>,
    on: readonly string[],
  ) => {
    for (const [file, text] of Object.entries(units)) write(`etc/systemd/${manager}/${file}`, text);
    const wants = join(root, 'etc/systemd', manager, `${target}.wants`);
    mkdirSync(wants, { recursive: true });
    for (const unit of on) {
      const file = units[unit] === undefined ? unit.replace(/@.*(?=\.)/, '@') : unit;
      symlinkSync(`../${file}`, join(wants, unit));
    }
  };
  const booted = `[Service]\nType=oneshot\nExecStart=/bin/sh -c ': > /${BOOTED}'\n`;
  const units = { ...options.units, 'lab-booted.service': booted };
  install('system', 'multi-user.target', units, [...options.enabled, 'lab-booted.service']);
  if (options.userUnits !== undefined) {
    write(`var/lib/systemd/linger/${name}`, '');
    install('user', 'default.target', options.userUnits, options.userEnabled ?? []);
  }
}
