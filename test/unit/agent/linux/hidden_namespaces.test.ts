/** Processes that hide their network namespace, also from root. */
import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { NamespaceListing } from '../../../../agent/linux/network_namespaces.ts';

const root = mkdtempSync(join(tmpdir(), 'imdswatch-proc-'));
after(() => rmSync(root, { recursive: true, force: true }));

/** Makes /proc/PID with a namespace, or one whose namespace cannot be read (a link to itself fails with ELOOP). */
function addProcess(pid: number, namespace: string, isHidden: boolean): void {
  const directory = join(root, String(pid));
  for (const part of ['ns', 'net', 'task']) mkdirSync(join(directory, part), { recursive: true });
  const file = join(root, `devices-of-${namespace}`);
  try {
    writeFileSync(file, '', { flag: 'wx' });
    writeFileSync(join(root, `namespace-${namespace}`), '', { flag: 'wx' });
  } catch {
    // Another process of this namespace made both.
  }
  linkSync(file, join(directory, 'net/dev'));
  if (isHidden) symlinkSync('net', join(directory, 'ns/net'));
  else linkSync(join(root, `namespace-${namespace}`), join(directory, 'ns/net'));
}

test('a hidden namespace is known by the files of its network where another process shows it', () => {
  addProcess(1, 'host', true);
  addProcess(2, 'host', false);
  addProcess(3, 'pod', false);
  const listing = new NamespaceListing(root);
  assert.equal(listing.list(true).size, 2);
  assert.equal(listing.denied, 0);
  addProcess(4, 'elsewhere', true);
  assert.equal(listing.list(true).size, 2);
  assert.equal(listing.denied, 1);
});
