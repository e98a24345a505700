/**
 * The archive on a host that has nothing: no C library, no package manager, only busybox. It lies on a read-only mount, at
 * a path with spaces. `npm run test:trees` does the same on whole distributions.
 */
import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { missingHere, programPath } from '../../../lab/engines/need.ts';
import { Lab } from '../../../lab/lab.ts';
import { HostTree, kernelIsExact } from '../../support/packaging/host_tree.ts';
import { cannotPackage, keptPackages, NATIVE } from '../../support/packaging/kept.ts';
import { run } from '../../support/packaging/run.ts';

const PLACE = '/srv/a place/imds watch';
const CALLS = 5;
const skip =
  process.getuid?.() !== 0
    ? 'mounts and builds network namespaces, which needs root'
    : (missingHere(['busybox', 'unshare', 'tar', 'cc']) ?? cannotPackage(NATIVE) ?? false);

describe('the archive in a tree with nothing but busybox', { skip }, () => {
  let directory: string;
  let lab: Lab;
  let tree: HostTree;

  before(async () => {
    const { archive } = await keptPackages(NATIVE);
    directory = mkdtempSync(join(tmpdir(), 'imdswatch-trees-'));
    const root = join(directory, 'root');
    mkdirSync(join(root, 'bin'), { recursive: true });
    cpSync(programPath('busybox')!, join(root, 'bin/busybox'));
    for (const name of ['sh', 'readlink', 'ls']) symlinkSync('busybox', join(root, 'bin', name));
    const above = join(root, PLACE, '..');
    mkdirSync(above, { recursive: true });
    await run('tar', ['-xzf', archive, '-C', above]);
    renameSync(join(above, readdirSync(above)[0]!), join(root, PLACE));
    // A command in PATH that is a link to the one in the archive.
    symlinkSync(`..${PLACE}/bin/imdswatch`, join(root, 'bin/imdswatch'));
    lab = await Lab.create({ name: 'trees', ipv6: false });
    const options = { lab, root, imdswatch: 'imdswatch', code: `${PLACE}/lib/imdswatch/` };
    tree = new HostTree({ ...options, readOnly: PLACE });
    await tree.furnish();
    assert.ok(!existsSync(join(root, 'lib')) && !existsSync(join(root, 'usr')));
  });
  after(async () => {
    await lab?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('runs, reads a capture, finds libpcap and libbpf, and names the callers', async () => {
    const { version, doctor, calls, exact } = await tree.check(CALLS);
    assert.match(version, /^imdswatch \d/);
    assert.equal(calls, CALLS);
    if (!kernelIsExact()) return;
    assert.equal(doctor['eBPF'], 'ok');
    assert.equal(exact, CALLS);
  });
});
