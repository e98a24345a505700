/** Recognises manifests, lock files and SBOMs, and reads the dependencies in them. */
import { basename } from 'node:path/posix';
import type { Node } from 'jsonc-parser';
import { dockerfileAsShell } from '../callers/dockerfile.ts';
import { languageOf } from '../callers/language_of.ts';
import type { Dependency } from './dependency.ts';
import { installedPackages } from './installs.ts';
import {
  composerLock,
  cycloneDx,
  isCycloneDx,
  isSpdx,
  npmLock,
  nugetLock,
  packageJson,
  parseJson,
  pipfileLock,
  spdx,
} from './json_manifests.ts';
import {
  gemfileLock,
  goMod,
  gradleLock,
  pnpmLock,
  requirements,
  tomlPackages,
  yarnLock,
} from './text_manifests.ts';
import { nugetProject, pom } from './xml_manifests.ts';

export interface ManifestKind {
  /** Name in tests and messages. */
  name: string;
  matches(path: string): boolean;
  /** Returns null for a file that cannot be parsed. */
  read(text: string): Dependency[] | null;
  /** Lock files that say better what is installed. The manifest is left out beside one of them. */
  lockedBy?: readonly string[];
}

function named(...names: (string | RegExp)[]): (path: string) => boolean {
  return (path) =>
    names.some((name) => (typeof name === 'string' ? basename(path) === name : name.test(path)));
}

function json(read: (root: Node) => Dependency[]): ManifestKind['read'] {
  return (text) => {
    const root = parseJson(text);
    return root === null ? null : read(root);
  };
}

export const MANIFEST_KINDS: readonly ManifestKind[] = [
  {
    name: 'package-lock.json',
    matches: named('package-lock.json', 'npm-shrinkwrap.json'),
    read: json(npmLock),
  },
  {
    name: 'package.json',
    matches: named('package.json'),
    read: json(packageJson),
    lockedBy: [
      'package-lock.json',
      'npm-shrinkwrap.json',
      'yarn.lock',
      'pnpm-lock.yaml',
      'bun.lock',
      'bun.lockb',
    ],
  },
  { name: 'yarn.lock', matches: named('yarn.lock'), read: yarnLock },
  { name: 'pnpm-lock.yaml', matches: named('pnpm-lock.yaml'), read: pnpmLock },
  {
    name: 'requirements.txt',
    matches: named(
      /(?:^|\/)(?:[\w.-]*requirements[\w.-]*|constraints[\w.-]*)\.(?:txt|in)$/i,
      /(?:^|\/)requirements\/[\w.-]+\.(?:txt|in)$/,
    ),
    read: requirements,
  },
  {
    name: 'poetry.lock',
    matches: named('poetry.lock', 'uv.lock', 'pdm.lock'),
    read: (text) => tomlPackages(text, 'pypi'),
  },
  { name: 'Pipfile.lock', matches: named('Pipfile.lock'), read: json(pipfileLock) },
  { name: 'go.mod', matches: named('go.mod'), read: goMod },
  { name: 'pom.xml', matches: named('pom.xml', /\.pom$/), read: pom },
  {
    name: 'gradle.lockfile',
    matches: named(
      'gradle.lockfile',
      'buildscript-gradle.lockfile',
      /\/dependency-locks\/[\w.-]+\.lockfile$/,
    ),
    read: gradleLock,
  },
  { name: 'Gemfile.lock', matches: named('Gemfile.lock', 'gems.locked'), read: gemfileLock },
  { name: 'composer.lock', matches: named('composer.lock'), read: json(composerLock) },
  {
    name: 'csproj',
    matches: named(
      /\.(?:cs|fs|vb)proj$/,
      'Directory.Packages.props',
      'Directory.Build.props',
      'packages.config',
    ),
    read: nugetProject,
    lockedBy: ['packages.lock.json'],
  },
  { name: 'packages.lock.json', matches: named('packages.lock.json'), read: json(nugetLock) },
  { name: 'Cargo.lock', matches: named('Cargo.lock'), read: (text) => tomlPackages(text, 'cargo') },
  {
    name: 'SBOM',
    matches: named(/\.json$/i),
    read: (text) => {
      const root = parseJson(text);
      if (root === null) return null;
      return isCycloneDx(root) ? cycloneDx(root) : isSpdx(root) ? spdx(root) : [];
    },
  },
  {
    name: 'script',
    matches: (path) => scriptLanguage(path) !== null,
    read: (text) => installedPackages(text),
  },
  {
    name: 'Dockerfile',
    matches: (path) => languageOf(path, '') === 'dockerfile',
    read: (text) => installedPackages(dockerfileAsShell(text)),
  },
];

function scriptLanguage(path: string): 'shell' | null {
  return languageOf(path, '') === 'shell' && !/\.conf$/.test(path) ? 'shell' : null;
}

/** Returns null for a file that is none of these. */
export function manifestKind(path: string): ManifestKind | null {
  return MANIFEST_KINDS.find((kind) => kind.matches(path)) ?? null;
}
