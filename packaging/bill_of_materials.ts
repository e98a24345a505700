/**
 * Makes the software bill of materials (CycloneDX 1.5, JSON). It has the packages by npm, compared with the
 * tree, and the parts that npm does not know: Node with its built-in parts, the compiled cap, the eBPF
 * object, the page's parts, the libraries from Debian.
 */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LIBDBUS_SONAME, OWN_HEADERS } from './cap_addon.ts';
import type { CarriedPackage, Libraries } from './libraries.ts';
import { run } from './run.ts';
import type { Runtime } from './runtime.ts';
import type { Sources } from './sources.ts';
import { CODE_DIRECTORY, LIBRARY_DIRECTORY, type Target } from './target.ts';
import type { Tree } from './tree.ts';

const BPF_OBJECT = `${CODE_DIRECTORY}/agent/attribution/bpf/imds_connect.bpf.o`;
const CAP_ADDON = `${CODE_DIRECTORY}/node_modules/cap/build/Release/cap.node`;
const USE_OF_LIBC =
  "the C library as Debian's package has it, except the directories in which it looks for code (packaging/libraries.ts)";
/** Matches the directory of a package, and no directory within one. */
const MANIFEST = /\/node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/;

interface Property {
  name: string;
  value: string;
}
interface Component {
  'bom-ref': string;
  type: string;
  name: string;
  version: string;
  scope?: string;
  properties?: Property[];
  [more: string]: unknown;
}
interface Bill {
  serialNumber: string;
  metadata: { timestamp: string; component: Component; [more: string]: unknown };
  components: Component[];
  dependencies: { ref: string; dependsOn: string[] }[];
  [more: string]: unknown;
}

/** Returns npm's bill of materials of package-lock.json, for every platform and with development packages. */
export async function lockedBill(sources: Sources, directory: string): Promise<Bill> {
  mkdirSync(directory, { recursive: true });
  for (const file of ['package.json', 'package-lock.json'])
    cpSync(join(sources.root, file), join(directory, file));
  const args = ['sbom', '--sbom-format=cyclonedx', '--package-lock-only'];
  return JSON.parse(await run('npm', args, { cwd: directory, from: 'npm' })) as Bill;
}

/** Returns the packages of the registry that the page is built from: its modules import them by name. */
export function pagePackages(sources: Sources): string[] {
  const names = new Set<string>();
  for (const path of sources.files.filter((path) => /^web\/src\/.*\.tsx?$/.test(path))) {
    const text = readFileSync(join(sources.root, path), 'utf8');
    for (const [, name = ''] of text.matchAll(
      /\b(?:from|import)\s*\(?\s*'((?:@[\w-]+\/)?[\w-]+)(?:\/[^']*)?'/g,
    ))
      names.add(name);
  }
  return [...names]
    .filter((name) => existsSync(join(sources.root, 'node_modules', name, 'package.json')))
    .sort();
}

export interface Contents {
  sources: Sources;
  target: Target;
  runtime: Runtime;
  libraries: Libraries;
  tree: Tree;
  locked: Bill;
}

export function billOfMaterials({ sources, target, runtime, libraries, tree, locked }: Contents): string {
  const placed = placedPackages(sources, tree);
  const components: Component[] = locked.components
    .filter((component) => placed.has(component['bom-ref']))
    .map((component) => ({ ...component, scope: 'required', properties: placed.get(component['bom-ref'])! }));
  for (const ref of placed.keys()) {
    if (!components.some((component) => component['bom-ref'] === ref))
      throw new Error(`npm knows nothing of ${ref}`);
  }
  components.push(
    nodeComponent(target, runtime, tree),
    bpfComponent(sources, tree),
    dbusComponent(sources, tree),
    ...libraries.packages.map((one) => libraryComponent(one, target, tree)),
  );
  components.sort((a, b) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1));
  const own = {
    ...locked.metadata.component,
    name: 'imdswatch',
    version: sources.version,
    type: 'application',
  };
  own.properties = [
    { name: 'imdswatch:commit', value: sources.commit },
    { name: 'imdswatch:architecture', value: target.arch },
  ];
  const kept = new Set([own['bom-ref'], ...components.map((component) => component['bom-ref'])]);
  const added = components.filter(
    (component) => !locked.components.some((other) => other['bom-ref'] === component['bom-ref']),
  );
  const dependencies = locked.dependencies
    .filter(({ ref }) => kept.has(ref))
    .map(({ ref, dependsOn }) => ({
      ref,
      dependsOn: [
        ...dependsOn.filter((other) => kept.has(other)),
        ...(ref === own['bom-ref'] ? added.map((other) => other['bom-ref']) : []),
      ].sort(),
    }))
    .sort((a, b) => (a.ref < b.ref ? -1 : 1));
  const bill = {
    ...locked,
    metadata: {
      timestamp: new Date(sources.timeSeconds * 1000).toISOString(),
      lifecycles: [{ phase: 'build' }],
      component: own,
    },
    components,
    dependencies,
  };
  // npm chooses a random serial number. This one is the same for the same contents.
  const digest = createHash('sha256')
    .update(JSON.stringify({ ...bill, serialNumber: '' }))
    .digest('hex');
  bill.serialNumber = `urn:uuid:${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-a${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
  return `${JSON.stringify(bill, null, 2)}\n`;
}

/**
 * Lists for each package of the registry (`name@version`) its places in the tree, or the reason why it has
 * none.
 */
function placedPackages(sources: Sources, tree: Tree): Map<string, Property[]> {
  const placed = new Map<string, Property[]>();
  const add = (manifest: string, property: Property) => {
    const { name, version } = JSON.parse(readFileSync(manifest, 'utf8')) as { name: string; version: string };
    placed.set(`${name}@${version}`, [...(placed.get(`${name}@${version}`) ?? []), property]);
    if (name === 'cap') placed.get(`${name}@${version}`)!.push(...capProperties(sources, tree));
  };
  for (const path of tree.files().filter((path) => MANIFEST.test(path))) {
    const value = path.slice(CODE_DIRECTORY.length + 1, -'/package.json'.length);
    add(tree.at(path), { name: 'cdx:npm:package:path', value });
  }
  const fromCheckout = (name: string) => join(sources.root, 'node_modules', name, 'package.json');
  for (const name of pagePackages(sources)) {
    add(fromCheckout(name), { name: 'imdswatch:use', value: "built into the collector's page" });
  }
  add(fromCheckout('nan'), { name: 'imdswatch:use', value: 'headers, compiled into cap.node' });
  return placed;
}

function capProperties(sources: Sources, tree: Tree): Property[] {
  const headers = OWN_HEADERS.map((name) => ({
    name: `imdswatch:cap_build:${name}_sha256`,
    value: sha256(readFileSync(join(sources.root, 'agent/capture/cap_build', name))),
  }));
  return [
    {
      name: 'imdswatch:use',
      value: 'compiled from its published source, with the headers of agent/capture/cap_build before it',
    },
    ...headers,
    { name: 'imdswatch:cap_build:cap.node_sha256', value: sha256(readFileSync(tree.at(CAP_ADDON))) },
  ];
}

function nodeComponent(target: Target, runtime: Runtime, tree: Tree): Component {
  const name = `node-linux-${target.arch}`;
  const ref = `${name}@${runtime.version}`;
  return {
    'bom-ref': ref,
    type: 'platform',
    name: 'node',
    version: runtime.version,
    scope: 'required',
    purl: `pkg:npm/${name}@${runtime.version}`,
    cpe: `cpe:2.3:a:nodejs:node.js:${runtime.version}:*:*:*:*:*:*:*`,
    licenses: [{ license: { id: 'MIT' } }],
    hashes: [{ alg: 'SHA-256', content: sha256(readFileSync(tree.at(`${CODE_DIRECTORY}/bin/node`))) }],
    properties: [
      {
        name: 'imdswatch:use',
        value: 'the published program, stripped of its symbols, with packaging/native/start.c as its start',
      },
    ],
    // A release of Node has the same parts on every architecture, so they are read from the Node that runs
    // this.
    components: Object.entries(partsOfNode(runtime.version)).map(([part, version]) => ({
      'bom-ref': `${ref}/${part}@${version}`,
      type: 'library',
      name: part,
      version,
    })),
  };
}

/** A package of Debian. Its parts in ours are its components. */
function libraryComponent(carried: CarriedPackage, target: Target, tree: Tree): Component {
  const { name, version, source, license, sha256: ofPackage } = carried;
  const { files } = carried;
  const ref = `${name}@${version}`;
  return {
    'bom-ref': ref,
    type: 'library',
    name,
    version,
    scope: 'required',
    purl: `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${target.deb}&distro=debian-12`,
    licenses: [{ expression: license }],
    hashes: [{ alg: 'SHA-256', content: ofPackage }],
    properties: [
      { name: 'imdswatch:use', value: name === 'libc6' ? USE_OF_LIBC : "as Debian's package has it" },
      { name: 'imdswatch:source', value: `Debian's source package ${source}` },
    ],
    components: files.map((file) => ({
      'bom-ref': `${ref}/${file}`,
      type: 'file',
      name: file,
      version,
      hashes: [{ alg: 'SHA-256', content: sha256(readFileSync(tree.at(`${LIBRARY_DIRECTORY}/${file}`))) }],
    })),
  };
}

function partsOfNode(version: string): Record<string, string> {
  if (process.versions.node !== version) {
    throw new Error(`made by Node ${process.versions.node}, which cannot tell what is built into ${version}`);
  }
  const { node: _, modules: __, napi: ___, ...parts } = process.versions;
  const known = Object.entries(parts).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(known.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function bpfComponent(sources: Sources, tree: Tree): Component {
  const content = readFileSync(tree.at(BPF_OBJECT));
  return {
    'bom-ref': `imds_connect.bpf.o@${sources.version}`,
    type: 'file',
    name: 'imds_connect.bpf.o',
    version: sources.version,
    scope: 'required',
    licenses: [{ expression: 'GPL-2.0-only OR BSD-2-Clause' }],
    hashes: [{ alg: 'SHA-256', content: sha256(content) }],
    properties: [
      {
        name: 'imdswatch:use',
        value: 'loaded into the kernel by libbpf; its source is agent/attribution/bpf',
      },
    ],
  };
}

/** The library of ours that takes the place of libdbus. */
function dbusComponent(sources: Sources, tree: Tree): Component {
  const content = readFileSync(tree.at(`${LIBRARY_DIRECTORY}/${LIBDBUS_SONAME}`));
  return {
    'bom-ref': `imdswatch-${LIBDBUS_SONAME}@${sources.version}`,
    type: 'file',
    name: LIBDBUS_SONAME,
    version: sources.version,
    scope: 'required',
    licenses: [{ license: { id: 'Apache-2.0' } }],
    hashes: [{ alg: 'SHA-256', content: sha256(content) }],
    properties: [{ name: 'imdswatch:use', value: 'no libdbus: its source is packaging/native/no_dbus.c' }],
  };
}

/**
 * Adds the licences of parts that have no directory of their own in the package: of Node, of the page and of the
 * libraries.
 */
export function addLicenses(tree: Tree, sources: Sources, runtime: Runtime, libraries: Libraries): void {
  tree.copy(libraries.licenses, `${CODE_DIRECTORY}/licenses/debian`);
  tree.copy(runtime.license, `${CODE_DIRECTORY}/licenses/node`);
  for (const name of pagePackages(sources)) {
    const home = join(sources.root, 'node_modules', name);
    const file = readdirSync(home).find((entry) => /^licen[cs]e/i.test(entry));
    if (file === undefined) throw new Error(`${name} has no licence file, and its code is in the page`);
    tree.copy(join(home, file), `${CODE_DIRECTORY}/licenses/${name.replace('/', '_')}`);
  }
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
