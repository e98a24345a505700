/**
 * Compiles the add-on of cap from its published source, after our headers (agent/capture/cap_build), and the
 * library that takes the place of libdbus for libpcap.
 */
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Libraries } from './libraries.ts';
import { run } from './run.ts';
import type { Runtime } from './runtime.ts';
import type { Sources } from './sources.ts';
import type { Target } from './target.ts';

/** Debian kept the name of its first release. */
export const LIBPCAP_SONAME = 'libpcap.so.0.8';
export const LIBDBUS_SONAME = 'libdbus-1.so.3';

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
const NATIVE = join(import.meta.dirname, 'native');

export interface CapAddon {
  sources: Sources;
  target: Target;
  runtime: Runtime;
  libraries: Libraries;
  /** Directory of the packages as published: cap and nan. */
  modules: string;
  /** Directory to compile in. */
  directory: string;
}

/** Resolves to the paths of the add-on and of that library. */
export async function compileCap({
  sources,
  target,
  runtime,
  libraries,
  modules,
  directory,
}: CapAddon): Promise<{ addon: string; libdbus: string }> {
  mkdirSync(directory, { recursive: true });
  cpSync(join(modules, 'cap/src'), join(directory, 'src'), { recursive: true });
  cpSync(join(modules, 'nan'), join(directory, 'nan'), { recursive: true });
  cpSync(runtime.headers, join(directory, 'node'), { recursive: true });
  for (const header of OWN_HEADERS) {
    cpSync(join(sources.root, 'agent/capture/cap_build', header), join(directory, header));
  }
  cpSync(join(libraries.headers, 'pcap'), join(directory, 'libpcap/pcap'), { recursive: true });
  writeFileSync(join(directory, 'libpcap/pcap.h'), '#include <pcap/pcap.h>\n');
  const compiler = `${target.gnu}-g++`;
  const build = (...args: string[]) =>
    run(compiler, [`-ffile-prefix-map=${directory}=.`, ...REPRODUCIBLE, ...args], {
      cwd: directory,
      from: target.compilerPackage,
    });
  const include = ['-Inode', '-Inan', '-Ilibpcap', ...OWN_HEADERS.flatMap((header) => ['-include', header])];
  const defines = DEFINES.map((name) => `-D${name}`);
  for (const file of ['no_dbus.c', 'no_dbus.map']) cpSync(join(NATIVE, file), join(directory, file));
  const library = ['-shared', '-nostdlib', '-fPIC', '-x', 'c', 'no_dbus.c'];
  const named = [`-Wl,-soname,${LIBDBUS_SONAME}`, '-Wl,--version-script=no_dbus.map', '-o', LIBDBUS_SONAME];
  await Promise.all([
    build('-c', ...CODE, ...defines, ...include, '-o', 'binding.o', 'src/binding.cc'),
    build(...library, ...named),
  ]);
  const libpcap = join(libraries.directory, LIBPCAP_SONAME);
  await build('-shared', '-pthread', '-o', 'cap.node', 'binding.o', libpcap);
  return { addon: join(directory, 'cap.node'), libdbus: join(directory, LIBDBUS_SONAME) };
}
