/** Describes a target: an architecture with its names, and the compiler for it on this machine. */
export interface Target {
  /** Name that Node and npm use. */
  arch: 'x64' | 'arm64';
  deb: 'amd64' | 'arm64';
  rpm: 'x86_64' | 'aarch64';
  /** Prefix of the GNU tools: `x86_64-linux-gnu-g++`, `…-strip`. */
  gnu: string;
  /** Debian's package with that compiler. */
  compilerPackage: string;
}

export const TARGETS: readonly Target[] = [
  {
    arch: 'x64',
    deb: 'amd64',
    rpm: 'x86_64',
    gnu: 'x86_64-linux-gnu',
    compilerPackage: 'g++-x86-64-linux-gnu',
  },
  {
    arch: 'arm64',
    deb: 'arm64',
    rpm: 'aarch64',
    gnu: 'aarch64-linux-gnu',
    compilerPackage: 'g++-aarch64-linux-gnu',
  },
];

export type Format = 'deb' | 'rpm';
export const FORMATS: readonly Format[] = ['deb', 'rpm'];

/** Directory of the code on a host. */
export const CODE_DIRECTORY = '/usr/lib/imdswatch';
export const DOC_DIRECTORY = '/usr/share/doc/imdswatch';
