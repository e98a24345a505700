/**
 * Builds the image of the lab's containers: busybox and two C callers (lab/clients), all static. Debian's
 * static busybox crashes as wget and nc (address look-up), so those are left out. The image needs no
 * registry. It has the format of `docker save` (image-spec v1.2 of Docker), which every engine here loads.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Lab } from '../lab.ts';
import { buildClient } from '../programs.ts';
import { programPath } from './need.ts';

const execFileAsync = promisify(execFile);

/** Name of the image as an engine writes it, with the default registry, which is never contacted. */
export const LAB_IMAGE = 'docker.io/imdswatch-lab/caller:1';
/** Variable of every container with the tag of the lab, by which processes that are left over are found. */
export const LAB_VARIABLE = 'IMDSWATCH_LAB';
const APPLETS = ['cat', 'echo', 'env', 'ip', 'sh', 'sleep', 'true'];
/** A dynamic program contains this part of the name of its loader. */
const LOADER = 'ld-linux';
const HEAD_BYTES = 4096;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

export interface LabImage {
  name: string;
  /** The archive, for an engine to load. */
  archive: string;
}

const built = new WeakMap<Lab, Promise<LabImage>>();

/**
 * Builds the image once per lab, below its home. Throws if busybox is not static, or there is no compiler.
 */
export function labImage(lab: Lab): Promise<LabImage> {
  const image = built.get(lab) ?? build(lab);
  built.set(lab, image);
  return image;
}

async function build(lab: Lab): Promise<LabImage> {
  const directory = join(lab.home, 'image');
  const root = join(directory, 'root');
  for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp']) {
    mkdirSync(join(root, name), { recursive: true });
  }
  const busybox = programPath('busybox');
  if (busybox === null || !isStatic(busybox)) throw new Error('a static busybox is needed (busybox-static)');
  copyFileSync(busybox, join(root, 'bin/busybox'));
  for (const applet of APPLETS) symlinkSync('busybox', join(root, 'bin', applet));
  for (const name of ['fetch', 'one_shot'] as const) {
    const program = await buildClient({ cc: programPath('cc') }, name, join(root, 'bin'));
    if (program === null || !isStatic(program)) {
      throw new Error('a C compiler with the static C library is needed');
    }
  }
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n');

  const layer = join(directory, 'layer.tar');
  await execFileAsync('tar', ['-C', root, '--owner=0', '--group=0', '--numeric-owner', '-cf', layer, '.']);
  const diffId = `sha256:${createHash('sha256').update(readFileSync(layer)).digest('hex')}`;
  const config = {
    architecture: ARCHITECTURES[process.arch],
    os: 'linux',
    // By default it sleeps like the pause container of a pod, for a limited time in case nobody ends it.
    config: { Cmd: ['/bin/sleep', '3600'], Env: ['PATH=/bin', `${LAB_VARIABLE}=${lab.tag}`] },
    rootfs: { type: 'layers', diff_ids: [diffId] },
  };
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  const manifest = [{ Config: 'config.json', RepoTags: [LAB_IMAGE], Layers: ['layer.tar'] }];
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify(manifest));
  const archive = join(directory, 'image.tar');
  await execFileAsync('tar', ['-C', directory, '-cf', archive, 'manifest.json', 'config.json', 'layer.tar']);
  return { name: LAB_IMAGE, archive };
}

function isStatic(program: string): boolean {
  return !readFileSync(program).subarray(0, HEAD_BYTES).includes(LOADER);
}
