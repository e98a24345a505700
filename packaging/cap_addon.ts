/**
 * Compiles the add-on of cap from its published source, after our headers (agent/capture/cap_build), for any
 * target and both families of distributions.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorError } from '../common/operator_error.ts';
import { run } from './run.ts';
import type { Runtime } from './runtime.ts';
import type { Sources } from './sources.ts';
import type { Format, Target } from './target.ts';

/** File names of libpcap: Debian kept the name of its first release, others have the name of upstream. */
export const LIBPCAP_SONAME: Record<Format, string> = { deb: 'libpcap.so.0.8', rpm: 'libpcap.so.1' };

/** The flags that node-gyp takes from Node's config.gypi, as far as they affect an add-on. */
const DEFINES = [
  'NODE_GYP_MODULE_NAME=cap',
  'USING_UV_SHARED=1',
  'USING_V8_SHARED=1',
  '_GLIBCXX_USE_CXX11_ABI=1',
  '_FILE_OFFSET_BITS=64',
  '_LARGEFILE_SOURCE',
  '__STDC_FORMAT_MACROS',
  'BUILDING_NODE_EXTENSION',
];
const CODE = [
  '-std=gnu++20',
  '-O3',
  '-fPIC',
  '-pthread',
  '-fno-rtti',
  '-fno-exceptions',
  '-fno-strict-aliasing',
  '-fno-omit-frame-pointer',
];
/** Flags that keep paths, and everything else that differs between builds, out of the add-on. */
const REPRODUCIBLE = ['-w', '-Wl,--build-id=none', '-Wl,--no-as-needed', '-s'];
/**
 * Our headers, which are included before the source of cap: every file of the directory, as in
 * setup/setup.sh.
 */
export const OWN_HEADERS = readdirSync(join(import.meta.dirname, '../agent/capture/cap_build'));
const LIBPCAP_HEADERS = '/usr/include/pcap';

export interface CapAddon {
  sources: Sources;
  target: Target;
  runtime: Runtime;
  /** Directory of the packages as published: cap and nan. */
  modules: string;
  /** Directory to compile in. It then contains one add-on for each format. */
  directory: string;
}

/** Compiles once and links for each format. Resolves to the paths of the add-ons. */
export async function compileCap({
  sources,
  target,
  runtime,
  modules,
  directory,
}: CapAddon): Promise<Record<Format, string>> {
  if (!existsSync(LIBPCAP_HEADERS)) {
    throw new OperatorError(
      3,
      `cap is compiled with libpcap's headers, and ${LIBPCAP_HEADERS} is missing. Install libpcap-dev.`,
    );
  }
  mkdirSync(directory, { recursive: true });
  cpSync(join(modules, 'cap/src'), join(directory, 'src'), { recursive: true });
  cpSync(join(modules, 'nan'), join(directory, 'nan'), { recursive: true });
  cpSync(runtime.headers, join(directory, 'node'), { recursive: true });
  for (const header of OWN_HEADERS) {
    cpSync(join(sources.root, 'agent/capture/cap_build', header), join(directory, header));
  }
  // The headers of libpcap are the same on every architecture; /usr/include as a whole is not.
  cpSync(LIBPCAP_HEADERS, join(directory, 'libpcap/pcap'), { recursive: true });
  writeFileSync(join(directory, 'libpcap/pcap.h'), '#include <pcap/pcap.h>\n');
  writeFileSync(join(directory, 'none.c'), '');
  const compiler = `${target.gnu}-g++`;
  const build = (...args: string[]) =>
    run(compiler, [`-ffile-prefix-map=${directory}=.`, ...REPRODUCIBLE, ...args], {
      cwd: directory,
      from: target.compilerPackage,
    });
  const include = ['-Inode', '-Inan', '-Ilibpcap', ...OWN_HEADERS.flatMap((header) => ['-include', header])];
  await build(
    '-c',
    ...CODE,
    ...DEFINES.map((name) => `-D${name}`),
    ...include,
    '-o',
    'binding.o',
    'src/binding.cc',
  );
  const linked = {} as Record<Format, string>;
  for (const [format, soname] of Object.entries(LIBPCAP_SONAME)) {
    // The add-on is linked with an empty library of that name. Its symbols are found when the real one is
    // loaded.
    await build('-shared', '-nostdlib', '-x', 'c', `-Wl,-soname,${soname}`, '-o', `${soname}`, 'none.c');
    await build('-shared', '-pthread', '-o', `cap.${format}.node`, 'binding.o', `./${soname}`);
    linked[format as Format] = join(directory, `cap.${format}.node`);
  }
  return linked;
}
