/** Installs the packages that run on a host: those of package-lock.json, without the parts for developers. */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { run } from './run.ts';
import { npmTarget } from './runtime.ts';
import type { Sources } from './sources.ts';
import type { Target } from './target.ts';

const LICENSE = /^(licen[cs]e|copying|notice|copyright)/i;
/** Names of files that do not run, anywhere in a package. */
const NOT_RUN =
  /(\.(ts|cts|mts|map|md|markdown|flow|yml|yaml|gyp|gypi|c|cc|cpp|h|hh|coffee|html|ps1|cmd|sh|lock|a|lib)|^\..+|^(makefile|tsconfig.*\.json|\.eslintrc.*|authors|changelog|history|security|contributing)(\.txt)?)$/i;
/** Directories, at the top of a package only: `yaml/dist/doc` is code. */
const NOT_RUN_DIRECTORIES = [
  '.github',
  'bench',
  'benchmark',
  'benchmarks',
  'doc',
  'docs',
  'example',
  'examples',
  'test',
  'tests',
  '__tests__',
];
/**
 * Parts of single packages that do not run: sources of add-ons, binaries of other systems, builds for
 * browsers, duplicates and unused commands.
 */
const NOT_RUN_OF: Record<string, readonly string[]> = {
  bowser: ['bundled.js', 'src'],
  cap: ['build', 'deps', 'src'],
  fflate: ['esm', 'umd'],
  koffi: ['src/koffi/CMakeLists.txt', 'vendor', 'lib', 'cnoke.cjs'],
  hono: ['dist/cjs', 'dist/types'],
  '@grpc/grpc-js': ['src'],
  // Only the grammar's WebAssembly is loaded.
  '@tree-sitter-grammars/tree-sitter-hcl': [
    'bindings',
    'grammar.js',
    'prebuilds',
    'queries',
    'src',
    'tree-sitter-terraform.wasm',
  ],
  diff: ['dist', 'libcjs'],
  'jsonc-parser': ['lib/esm'],
  // Only the stable names are imported.
  '@opentelemetry/semantic-conventions': [
    'dist/experimental_attributes.mjs',
    'dist/experimental_events.mjs',
    'dist/experimental_metrics.mjs',
    'dist/index-incubating.mjs',
  ],
  'web-tree-sitter': ['debug', 'lib', 'src', 'web-tree-sitter.cjs'],
  '@peculiar/x509': ['build/x509.js'],
  // Only `liquid.node.js` is loaded, and no command.
  liquidjs: [
    'bin',
    'dist/liquid.browser.min.js',
    'dist/liquid.browser.mjs',
    'dist/liquid.browser.umd.js',
    'dist/liquid.node.mjs',
  ],
  bintrees: ['dist'],
  'openapi3-ts': ['src'],
  '@grpc/proto-loader': ['build/bin'],
  pino: ['bin.js'],
  protobufjs: ['bin', 'cli', 'dist'],
  uuid: ['dist/bin', 'dist-node/bin'],
  yaml: ['bin.mjs', 'browser'],
  zod: ['src'],
};
/**
 * The same for every package of a scope. Node loads `dist-cjs` of the AWS SDK. The copies for bundlers and the
 * types are most of its 50 MB. All calls of a client stay: they are in one file.
 */
const NOT_RUN_OF_SCOPE: Record<string, readonly string[]> = {
  '@aws': ['dist-es', 'dist-types'],
  '@aws-sdk': ['dist-es', 'dist-types'],
  '@smithy': ['dist-es', 'dist-types'],
};
/** Files of the packages of a scope that do not run: Node imports the ES modules of OpenTelemetry. */
const NOT_RUN_FILES_OF_SCOPE: Record<string, RegExp> = { '@opentelemetry': /\.cjs$/ };
/** Packages of which another one also requires those files: prom-client that of OpenTelemetry's API. */
const REQUIRED_TOO = ['@opentelemetry/api'];
/** Packages that are only needed to compile. */
const NOT_SHIPPED = ['@types', 'nan', 'node-addon-api', 'node-gyp-build', 'undici-types'];

/** Installs the packages of `target` into `directory`/node_modules, as published. */
export async function fetchModules(sources: Sources, target: Target, directory: string): Promise<string> {
  mkdirSync(directory, { recursive: true });
  for (const file of ['package.json', 'package-lock.json'])
    cpSync(join(sources.root, file), join(directory, file));
  const args = ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  await run('npm', [...args, ...npmTarget(target)], { cwd: directory, from: 'npm' });
  return join(directory, 'node_modules');
}

/**
 * Removes the files that do not run from `modules`, a directory `node_modules`. Licences stay. Returns the
 * remaining packages as paths below it.
 */
export function prune(modules: string): string[] {
  for (const name of ['.bin', '.package-lock.json', ...NOT_SHIPPED]) {
    rmSync(join(modules, name), { recursive: true, force: true });
  }
  const packages = readdirSync(modules, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.name === 'package.json' && isPackage(entry.parentPath))
    .map((entry) => relative(modules, entry.parentPath))
    .sort();
  for (const path of packages) {
    const name = path.split('node_modules/').at(-1)!;
    const ofScope = NOT_RUN_OF_SCOPE[name.split('/')[0]!] ?? [];
    const files = NOT_RUN_FILES_OF_SCOPE[name.split('/')[0]!];
    if (files !== undefined && !REQUIRED_TOO.includes(name)) removeFiles(join(modules, path), files);
    for (const part of [...NOT_RUN_DIRECTORIES, ...ofScope, ...(NOT_RUN_OF[name] ?? [])]) {
      rmSync(join(modules, path, part), { recursive: true, force: true });
    }
  }
  for (const entry of readdirSync(modules, { recursive: true, withFileTypes: true })) {
    const isOtherLibc = entry.isDirectory() && entry.name.startsWith('musl_');
    if (isOtherLibc || (entry.isFile() && NOT_RUN.test(entry.name) && !LICENSE.test(entry.name))) {
      rmSync(join(entry.parentPath, entry.name), { recursive: true, force: true });
    }
  }
  removeEmpty(modules);
  return packages;
}

function removeFiles(directory: string, names: RegExp): void {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && names.test(entry.name)) rmSync(join(entry.parentPath, entry.name));
  }
}

function isPackage(directory: string): boolean {
  const above = dirname(directory);
  return (
    basename(above) === 'node_modules' ||
    (basename(above).startsWith('@') && basename(dirname(above)) === 'node_modules')
  );
}

function removeEmpty(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmpty(join(directory, entry.name));
  }
  if (existsSync(directory) && readdirSync(directory).length === 0) rmSync(directory, { recursive: true });
}
