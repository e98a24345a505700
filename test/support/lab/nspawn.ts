/** Booting a root directory by systemd-nspawn, for the lab's machines. */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cgroupMounts } from '../../../lab/engines/cgroups.ts';
import { LAB_VARIABLE } from '../../../lab/engines/image.ts';
import { programPath } from '../../../lab/engines/need.ts';
import type { Lab, LabProcess } from '../../../lab/lab.ts';

/** Below it are the machines' own cgroups, as below a `systemd-nspawn@NAME.service`. */
export const MACHINE_SLICE = 'machine.slice';

export interface BootOptions {
  root: string;
  /** Relative to the hierarchies: below `MACHINE_SLICE`. */
  cgroup: string;
  /** File to which the output of its console is appended. */
  logFile: string;
  /** Network that it has: the lab host's, or the pod's; see `Lab.addPod`. */
  from: 'host' | 'pod';
  /** More of systemd-nspawn's. */
  args: readonly string[];
}

/** The process is nspawn's own; the machine's first process is its child. SIGTERM switches the machine off at once. */
export function bootByNspawn(lab: Lab, { root, cgroup, logFile, from, args }: BootOptions): LabProcess {
  const groups = systemdMounts().map((mount) => join(mount, cgroup));
  for (const group of groups) mkdirSync(group, { recursive: true });
  const enter = groups.map((group) => `echo $$ > '${group}/cgroup.procs'`).join(' && ');
  const log = openSync(logFile, 'a');
  // A private /run: the machine is in no list of this machine's own, and leaves nothing there.
  const script = `${enter} && mount -t tmpfs tmpfs /run && exec "$@"`;
  try {
    return lab.spawn(
      [
        ...['unshare', '--mount', 'sh', '-c', script, 'sh', programPath('systemd-nspawn')!],
        ...['--quiet', '--boot', '--register=no', '--keep-unit', '--console=pipe', '--kill-signal=SIGKILL'],
        `--directory=${root}`,
        `--machine=${lab.tag.slice(0, 60)}`,
        `--setenv=${LAB_VARIABLE}=${lab.tag}`,
        ...args,
      ],
      { stdio: ['ignore', log, log], from },
    );
  } finally {
    closeSync(log);
  }
}

/** Returns where systemd keeps its own cgroups: the v2 hierarchy, and v1's named one where that is used (hybrid: both). */
export function systemdMounts(): string[] {
  return cgroupMounts().filter((mount) => ['systemd', 'unified', 'cgroup'].includes(basename(mount)));
}
