/**
 * Fetches the libraries that a package carries, from Debian: the C library with its loader, the compiler's
 * libraries that Node needs, libbpf with what it needs, and libpcap. Every host then runs the same.
 *
 * They are those of Debian 12, because its C library runs on every kernel from 3.2 on and on every processor of
 * both architectures, and because Debian mends it. apt checks the signatures.
 */
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { OperatorError } from '../common/operator_error.ts';
import { linkedLibraries, replaceText } from './elf.ts';
import { run } from './run.ts';
import type { Target } from './target.ts';

const SUITE = 'bookworm';

/** A package of Debian, and the files of it that ours carries. */
interface Source {
  name: string;
  files: readonly string[];
  /** Expression of SPDX for these files. */
  license: string;
  /** Debian's package with the file `copyright`, where it is another one. */
  copyrightOf?: string;
  /** Texts of /usr/share/common-licenses that this file refers to. */
  texts: readonly string[];
}

const GCC = {
  license: 'GPL-3.0-or-later WITH GCC-exception-3.1',
  copyrightOf: 'gcc-12-base',
  texts: ['GPL-3'],
};
const SOURCES: readonly Source[] = [
  {
    name: 'libc6',
    // libdl and libpthread are empty since glibc 2.34. Node asks for them by name.
    files: ['LOADER', 'libc.so.6', 'libm.so.6', 'libdl.so.2', 'libpthread.so.0'],
    license: 'LGPL-2.1-or-later',
    texts: ['GPL-2', 'LGPL-2.1'],
  },
  { name: 'libstdc++6', files: ['libstdc++.so.6'], ...GCC },
  { name: 'libgcc-s1', files: ['libgcc_s.so.1'], ...GCC },
  {
    name: 'libbpf1',
    files: ['libbpf.so.1'],
    license: 'LGPL-2.1-only OR BSD-2-Clause',
    texts: ['GPL-2', 'LGPL-2.1'],
  },
  {
    name: 'libelf1',
    files: ['libelf.so.1'],
    license: 'GPL-2.0-or-later OR LGPL-3.0-or-later',
    texts: ['GPL-2', 'GPL-3', 'LGPL-3'],
  },
  { name: 'zlib1g', files: ['libz.so.1'], license: 'Zlib', texts: [] },
  { name: 'libpcap0.8', files: ['libpcap.so.0.8'], license: 'BSD-3-Clause', texts: [] },
];
/** Packages with headers of libpcap and texts of licences, of which nothing runs. */
const NOT_CARRIED = ['libpcap0.8-dev', 'gcc-12-base', 'base-files'];

export interface CarriedPackage {
  name: string;
  version: string;
  /** Name and version of Debian's source package. */
  source: string;
  license: string;
  /** SHA-256 of Debian's package, in hexadecimal digits. */
  sha256: string;
  files: readonly string[];
}

export interface Libraries {
  packages: readonly CarriedPackage[];
  /** Directory with the libraries and the loader, as they are in our package. */
  directory: string;
  /** Directory with the licences. */
  licenses: string;
  /** Directory with `pcap/pcap.h`. */
  headers: string;
}

/** Fetches and prepares the libraries of a target in `work`. Throws OperatorError (3) where this is no Debian 12. */
export async function fetchLibraries(target: Target, work: string): Promise<Libraries> {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  if (!new RegExp(`^VERSION_CODENAME=${SUITE}$`, 'm').test(release)) {
    throw new OperatorError(
      3,
      'Packages carry the libraries of Debian 12, and this is another system. Make them on Debian 12.',
    );
  }
  const root = join(work, 'root');
  const directory = join(work, 'lib');
  const licenses = join(work, 'licenses');
  for (const made of [root, directory, licenses]) mkdirSync(made, { recursive: true });
  const fetched = await download(target, join(work, 'apt'));
  await Promise.all([...fetched.values()].map((path) => run('dpkg-deb', ['--extract', path, root])));

  const packages = await Promise.all(
    SOURCES.map(async (source): Promise<CarriedPackage> => {
      const files = source.files.map((name) => (name === 'LOADER' ? target.loader : name));
      for (const name of files) copyFileSync(libraryIn(root, target, name), join(directory, name));
      const document = join(root, 'usr/share/doc', source.copyrightOf ?? source.name, 'copyright');
      copyFileSync(document, join(licenses, source.name));
      for (const text of source.texts)
        copyFileSync(realpathSync(join(root, 'usr/share/common-licenses', text)), join(licenses, text));
      const path = fetched.get(source.name)!;
      // The names in braces are dpkg's (dpkg-query(1)).
      const asked = ['Version', 'source:Package', 'source:Version'].map((name) => `$\{${name}}`).join(' ');
      const fields = await run('dpkg-deb', [`--showformat=${asked}`, '--show', path]);
      const [version = '', sourceName, sourceVersion] = fields.split(' ');
      const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
      const { name, license } = source;
      return { name, version, source: `${sourceName} ${sourceVersion}`, license, sha256, files };
    }),
  );
  keepToItself(target, directory);
  return { packages, directory, licenses, headers: join(root, 'usr/include') };
}

/** Resolves to Debian's packages by name. apt works in `directory`, and the machine's own apt stays as it is. */
async function download(target: Target, directory: string): Promise<Map<string, string>> {
  for (const made of ['lists/partial', 'archives/partial', 'packages'])
    mkdirSync(join(directory, made), { recursive: true });
  writeFileSync(join(directory, 'status'), '');
  const options = [
    `APT::Architecture=${target.deb}`,
    `APT::Architectures=${target.deb}`,
    'APT::Sandbox::User=',
    'Acquire::Languages=none',
    'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false',
    'Acquire::Retries=3',
    `Dir::State::Lists=${directory}/lists`,
    `Dir::State::status=${directory}/status`,
    `Dir::Cache=${directory}`,
  ].flatMap((option) => ['-o', option]);
  const into = { cwd: join(directory, 'packages'), from: 'apt' };
  await run('apt-get', ['--quiet', ...options, 'update'], into);
  const names = [...SOURCES.map(({ name }) => name), ...NOT_CARRIED];
  await run('apt-get', ['--quiet', ...options, 'download', ...names], into);
  return new Map(readdirSync(into.cwd).map((file) => [file.split('_')[0]!, join(into.cwd, file)]));
}

/** Debian 12 has its libraries in two places. */
function libraryIn(root: string, { gnu }: Target, name: string): string {
  const found = [`lib/${gnu}`, `usr/lib/${gnu}`].map((path) => join(root, path, name)).find(existsSync);
  if (found === undefined) throw new Error(`Debian's packages have no ${name}`);
  return realpathSync(found);
}

/**
 * Makes the C library look for code in the package only: modules of the host's name service and its preloaded
 * libraries are made for the host's C library. The loader's own directories become directories of sysfs, in
 * which nobody can make a file.
 */
function keepToItself(target: Target, directory: string): void {
  const change = (name: string, texts: Record<string, string>) => {
    const path = join(directory, name);
    const bytes = readFileSync(path);
    for (const [text, by] of Object.entries(texts)) replaceText(bytes, text, by);
    writeFileSync(path, bytes);
  };
  change(target.loader, {
    [`/lib/${target.gnu}/`]: `/sys/${target.gnu}/`,
    [`/usr/lib/${target.gnu}/`]: `/sys/lib/${target.gnu}/`,
    '/lib/': '/sys/',
    '/usr/lib/': '/sys/lib/',
    '/etc/ld.so.cache': '',
    '/etc/ld.so.preload': '',
  });
  change('libc.so.6', {
    [`/usr/lib/${target.gnu}/gconv`]: `/sys/lib/${target.gnu}/gconv`,
    [`/usr/lib/${target.gnu}/gconv/gconv-modules.cache`]: `/sys/lib/${target.gnu}/gconv/gconv-modules.cache`,
  });
}

/** Throws if a program, library or add-on asks for a library that is not among them. */
export function checkLibraries(files: readonly string[]): void {
  const linked = files.map((path) => ({ path, ...linkedLibraries(readFileSync(path)) }));
  const there = new Set(linked.map(({ soname }) => soname));
  for (const { path, needed } of linked) {
    const missing = needed.filter((name) => !there.has(name));
    if (missing.length > 0)
      throw new Error(`${path} needs ${missing.join(', ')}, which the package does not carry`);
  }
}
