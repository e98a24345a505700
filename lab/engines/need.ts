/**
 * Checks whether this machine has the programs for a part of the lab. Otherwise says which package to
 * install.
 */
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
  pasta: 'passt',
  podman: 'podman',
  runc: 'runc',
  slirp4netns: 'slirp4netns',
  'systemd-nspawn': 'systemd-container',
  tar: 'tar',
  tinyproxy: 'tinyproxy-bin',
  unshare: 'util-linux',
} as const;

export type NeededProgram = keyof typeof PACKAGES;

/** A file outside PATH, such as a plug-in of an engine or a part of systemd. */
export interface NeededFile {
  path: string;
  debianPackage: string;
}

/** Directories of the administrator's programs, which the PATH of a user may lack. */
const DIRECTORIES = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/**
 * Returns the path of a program. The distribution's directories come first, so that no wrapper on PATH is
 * used.
 */
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
 * Returns null if all are installed. Otherwise returns one line for the operator, such as `not available:
 * dockerd is missing (Debian's package docker.io)`. Nothing is installed, because an engine is a service that
 * would start.
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
