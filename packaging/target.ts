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
  /** File name of the C library's loader. */
  loader: string;
}

export const TARGETS: readonly Target[] = [
  {
    arch: 'x64',
    deb: 'amd64',
    rpm: 'x86_64',
    gnu: 'x86_64-linux-gnu',
    compilerPackage: 'g++-x86-64-linux-gnu',
    loader: 'ld-linux-x86-64.so.2',
  },
  {
    arch: 'arm64',
    deb: 'arm64',
    rpm: 'aarch64',
    gnu: 'aarch64-linux-gnu',
    compilerPackage: 'g++-aarch64-linux-gnu',
    loader: 'ld-linux-aarch64.so.1',
  },
];

/** `tar.gz` is unpacked anywhere; the others are installed by a package manager. */
export type Format = 'deb' | 'rpm' | 'tar.gz';
export const FORMATS: readonly Format[] = ['deb', 'rpm', 'tar.gz'];
/** Formats with maintainer scripts, users and units. */
export type ManagedFormat = Exclude<Format, 'tar.gz'>;

/** Directory of the code on a host. */
export const CODE_DIRECTORY = '/usr/lib/imdswatch';
/** Directory of the libraries that the package carries, and of the C library's loader. */
export const LIBRARY_DIRECTORY = `${CODE_DIRECTORY}/lib`;
export const DOC_DIRECTORY = '/usr/share/doc/imdswatch';
