/**
 * Which id a host goes by, where nobody can be asked: what it keeps, and when it does not believe what it
 * kept.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { pino } from 'pino';
import { writeHostCache } from '../../../../agent/host/host_cache.ts';
import { idOf, type Machine, readMachine } from '../../../../agent/host/host_facts.ts';
import { HostIdentity, type HostIdentityOptions } from '../../../../agent/host/host_identity.ts';

const directories: string[] = [];
afterEach(() => {
  for (const each of directories.splice(0)) rmSync(each, { recursive: true, force: true });
});
function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'imdswatch-identity-'));
  directories.push(path);
  return path;
}

const MACHINE: Machine = {
  instanceId: null,
  xenUuid: null,
  machineId: '0123456789abcdef0123456789abcdef',
  nodeName: null,
  hostName: 'web-1',
};
const LEARNT = {
  instance_id: 'i-0aaaaaaaaaaaaaaa0',
  account: '123456789012',
  region: 'eu-central-1',
  zone: 'eu-central-1a',
  type: 'm7i.large',
  image_id: 'ami-1',
  tags: { team: 'payments', Name: 'web' },
};

/** Nobody is asked. */
function identityOf(options: Partial<HostIdentityOptions>): HostIdentity {
  return new HostIdentity({
    given: {},
    directory: directory(),
    asks: false,
    bootId: 'boot-1',
    spoolHostId: null,
    log: pino({ level: 'silent' }),
    machine: MACHINE,
    ...options,
  });
}

function kept(machine: Machine, source: 'imds' | 'machine_id', id: string): string {
  const path = directory();
  const { hostName: _, ...marks } = machine;
  writeHostCache(path, {
    id,
    source,
    machine: marks,
    learnt: LEARNT,
    learnt_boot_id: 'boot-1',
    boot_id: 'boot-1',
    attempts: 1,
    requests: 3,
    failure: null,
  });
  return path;
}

test('in their order: given, DMI, node name, machine id, host name', () => {
  const all = { ...MACHINE, instanceId: 'i-0bbbbbbbbbbbbbbb0', nodeName: 'node-7' };
  assert.equal(idOf({ host_id: 'web' }, all).id, 'web');
  assert.deepEqual(idOf({}, all), { id: 'i-0bbbbbbbbbbbbbbb0', source: 'dmi' });
  assert.deepEqual(idOf({}, { ...all, instanceId: null }), { id: 'node-7', source: 'node_name' });
  assert.deepEqual(idOf({}, MACHINE), { id: MACHINE.machineId, source: 'machine_id' });
  assert.deepEqual(idOf({}, { ...MACHINE, machineId: null }), { id: 'web-1', source: 'host_name' });
});

test('what a machine says of itself', () => {
  const root = directory();
  const write = (path: string, text: string) => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  write('sys/class/dmi/id/board_asset_tag', 'i-0123456789abcdef0\n');
  write('sys/hypervisor/uuid', 'ec2e1916-9099-7caf-fd21-012345abcdef\n');
  write('etc/machine-id', 'of-the-image\n');
  write('proc/1/root/etc/machine-id', 'of-the-host\n');
  const { hostName: _, ...said } = readMachine({ root, env: { NODE_NAME: ' node-7 ' } });
  assert.deepEqual(said, {
    instanceId: 'i-0123456789abcdef0',
    xenUuid: 'ec2e1916-9099-7caf-fd21-012345abcdef',
    machineId: 'of-the-host',
    nodeName: 'node-7',
  });
  write('sys/class/dmi/id/board_asset_tag', 'Asset-1234\n');
  assert.equal(readMachine({ root, env: {} }).instanceId, null);
});

test("a learnt id stays with the other learnt facts; the operator's settings win", async () => {
  const identity = identityOf({
    directory: kept(MACHINE, 'imds', LEARNT.instance_id),
    given: { host_account: '999999999999', host_tags: ['team=operators'] },
  });
  assert.deepEqual(await identity.settled(), {
    id: LEARNT.instance_id,
    name: 'web-1',
    'cloud.account.id': '999999999999',
    'cloud.region': 'eu-central-1',
    'cloud.availability_zone': 'eu-central-1a',
    type: 'm7i.large',
    'image.id': 'ami-1',
    tags: { team: 'operators', Name: 'web' },
  });
});

test('a host that used its machine id keeps it, with any facts learnt since', () => {
  const identity = identityOf({ directory: kept(MACHINE, 'machine_id', MACHINE.machineId!), asks: true });
  assert.equal(identity.isSettled, true);
  assert.equal(identity.facts.id, MACHINE.machineId);
  assert.equal(identity.facts['cloud.account.id'], LEARNT.account);
});

test('the host of an older spool keeps the id in it', () => {
  assert.equal(identityOf({ asks: true }).isSettled, false);
  assert.equal(identityOf({ asks: true, spoolHostId: MACHINE.machineId }).isSettled, true);
  assert.equal(identityOf({ asks: true, spoolHostId: 'another' }).isSettled, false);
});

test('a copied image: by DMI, by the UUID of Xen, by the machine id; else by asking after a boot', () => {
  const xen = { ...MACHINE, xenUuid: 'ec2aaaaa-0000' };
  for (const [before, now] of [
    [
      { ...MACHINE, instanceId: 'i-0aaaaaaaaaaaaaaa0' },
      { ...MACHINE, instanceId: 'i-0bbbbbbbbbbbbbbb0' },
    ],
    [xen, { ...xen, xenUuid: 'ec2bbbbb-0000' }],
    [MACHINE, { ...MACHINE, machineId: 'another' }],
  ] as const) {
    const identity = identityOf({ directory: kept(before, 'imds', LEARNT.instance_id), machine: now });
    assert.equal(identity.counters()['foreign_cache'], 1);
    assert.equal(identity.facts['cloud.account.id'], undefined);
    assert.notEqual(identity.facts.id, LEARNT.instance_id);
  }
  const again = { asks: true, bootId: 'boot-2' };
  const unsure = identityOf({ ...again, directory: kept(MACHINE, 'imds', LEARNT.instance_id) });
  assert.deepEqual([unsure.isSettled, unsure.facts.id], [false, LEARNT.instance_id]);
  const sure = identityOf({ ...again, machine: xen, directory: kept(xen, 'imds', LEARNT.instance_id) });
  assert.equal(sure.isSettled, true);
});
