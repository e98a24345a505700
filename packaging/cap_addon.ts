/**
 * cap's add-on, compiled from its published source with our headers before it (agent/capture/cap_build), for any
 * target and either family of distributions.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorError } from '../common/operator_error.ts';
import { run } from './run.ts';
import type { Runtime } from './runtime.ts';
import type { Sources } from './sources.ts';
import type { Format, Target } from './target.ts';

/** libpcap has one interface and two names: Debian kept the name of its first release, others have upstream's. */
export const LIBPCAP_SONAME: Record<Format, string> = { deb: 'libpcap.so.0.8', rpm: 'libpcap.so.1' };

/** Holds what node-gyp gives the compiler by Node's own config.gypi, as far as an add-on feels it. */
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
/** Neither paths nor anything that differs from one build to the next may be in it. */
const REPRODUCIBLE = ['-w', '-Wl,--build-id=none', '-Wl,--no-as-needed', '-s'];
/** Our headers, read before cap's own source: every file of the directory, as in a checkout (setup/setup.sh). */
export const OWN_HEADERS = readdirSync(join(import.meta.dirname, '../agent/capture/cap_build'));
const LIBPCAP_HEADERS = '/usr/include/pcap';

export interface CapAddon {
  sources: Sources;
  target: Target;
  runtime: Runtime;
  /** Directory of the packages as published: cap and nan. */
  modules: string;
  /** States where to compile, and what is left there: one add-on for each format. */
  directory: string;
}

/** Compiles once and links for each format; resolves to the add-ons' paths. */
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
  // Headers of libpcap say the same on every architecture; /usr/include as a whole does not.
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
    // An empty library of that name: what cap takes from it is found when it is loaded, as with any shared library.
    await build('-shared', '-nostdlib', '-x', 'c', `-Wl,-soname,${soname}`, '-o', `${soname}`, 'none.c');
    await build('-shared', '-pthread', '-o', `cap.${format}.node`, 'binding.o', `./${soname}`);
    linked[format as Format] = join(directory, `cap.${format}.node`);
  }
  return linked;
}
