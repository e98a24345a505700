/** Checks whether this machine has the programs for a part of the lab; where it has not, why and what to install. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian's package of each program, for the message. */
const PACKAGES = {
  busybox: 'busybox-static',
  cc: 'gcc',
  containerd: 'containerd',
  conmon: 'conmon',
  crun: 'crun',
  ctr: 'containerd',
  dockerd: 'docker.io',
  ip: 'iproute2',
  iptables: 'iptables',
  mmdebstrap: 'mmdebstrap',
  nft: 'nftables',
  nsenter: 'util-linux',
  podman: 'podman',
  runc: 'runc',
  'systemd-nspawn': 'systemd-container',
  tar: 'tar',
  unshare: 'util-linux',
} as const;

export type NeededProgram = keyof typeof PACKAGES;

/** Somewhere outside PATH: an engine's plug-ins, systemd itself. */
export interface NeededFile {
  path: string;
  debianPackage: string;
}

/** States where the administrator's programs are, whatever the user's PATH says. */
const DIRECTORIES = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The path of a program; the distribution's own directories come first, so that a wrapper on PATH is not taken. */
export function programPath(name: string): string | null {
  for (const directory of [...DIRECTORIES, ...(process.env['PATH'] ?? '').split(delimiter)]) {
    if (directory !== '' && isExecutable(join(directory, name))) return join(directory, name);
  }
  return null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Null when all is here. Else one line for the operator, such as `not available: dockerd is missing (Debian's package
 * docker.io)`. Nothing is installed: on somebody's host an engine is a service that would start.
 */
export function missingHere(
  programs: readonly NeededProgram[],
  files: readonly NeededFile[] = [],
): string | null {
  if (process.getuid?.() !== 0) return 'not available: it needs root';
  const missing = [
    ...programs
      .filter((name) => programPath(name) === null)
      .map((name) => ({ what: name, debianPackage: PACKAGES[name] as string })),
    ...files
      .filter(({ path }) => !isExecutable(path))
      .map(({ path, debianPackage }) => ({ what: path, debianPackage })),
  ];
  if (missing.length === 0) return null;
  const list = missing.map(({ what }) => what).join(', ');
  const packages = [...new Set(missing.map(({ debianPackage }) => debianPackage))].join(' ');
  const [are, names] = missing.length === 1 ? ['is', 'package'] : ['are', 'packages'];
  return `not available: ${list} ${are} missing (Debian's ${names} ${packages})`;
}
