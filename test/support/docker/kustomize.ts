/** Kubernetes manifests as kubectl renders them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { programPath } from '../../../lab/engines/need.ts';

const run = promisify(execFile);
const ROOM = resolve(import.meta.dirname, '../../../docker/kubernetes');
/** `patches` and `components` came with Kustomize 3.7; kubectl has had it from 1.21 on. */
const OLDEST_KUBECTL_MINOR = 21;

export interface Resource {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: rendered YAML of many kinds, looked at in places
  spec?: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  [key: string]: any;
}

const kubectl = programPath('kubectl');

/** Returns why manifests cannot be rendered here; false when they can. */
export async function cannotRender(): Promise<string | false> {
  if (kubectl === null) return 'kubectl is missing (Debian kubernetes-client)';
  const { stdout } = await run(kubectl, ['version', '--client', '--output=json']);
  const { major, minor } = JSON.parse(stdout).clientVersion;
  const isOld = Number(major) === 1 && Number.parseInt(minor, 10) < OLDEST_KUBECTL_MINOR;
  return isOld ? `kubectl ${major}.${minor} is too old for components (1.${OLDEST_KUBECTL_MINOR})` : false;
}

/** Renders a directory of docker/kubernetes, or one at an absolute path. */
export async function render(path: string): Promise<Resource[]> {
  const { stdout, stderr } = await run(kubectl!, ['kustomize', resolve(ROOM, path)]);
  assert.doesNotMatch(stderr, /deprecated/i);
  return parseAllDocuments(stdout).map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS() as Resource;
  });
}

/** Returns the one resource of a kind, and of a name where it is given. */
export function find(resources: readonly Resource[], kind: string, name?: string): Resource {
  const found = resources.filter(
    (one) => one.kind === kind && (name === undefined || one.metadata.name === name),
  );
  assert.equal(found.length, 1, `${kind} ${name ?? ''}`);
  return found[0]!;
}
