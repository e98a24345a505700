/** Which host this is, asked of the lab's metadata service: by IMDSv2 or not at all, and not often. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IdSource } from '../../agent/host/host_facts.ts';
import type { SeenRequest } from '../../lab/ground_truth.ts';
import { Lab } from '../../lab/lab.ts';
import { LAB_TAGS } from '../../lab/metadata_tree.ts';
import type { HostFacts } from '../../protocol/call.ts';
import type { Asked } from '../support/lab/identity_program.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces';
const PROGRAM = join(import.meta.dirname, '../support/lab/identity_program.ts');
const INSTANCE_ID = 'i-0123456789abcdef0';
const MACHINE_ID = '0123456789abcdef0123456789abcdef';

interface Told {
  id: string;
  settledMs: number;
  source: IdSource;
  facts: HostFacts;
  counters: Record<string, number>;
}

describe('host identity', { skip }, () => {
  let lab: Lab;
  let seen = 0;

  before(async () => {
    lab = await Lab.create({ name: 'identity' });
  });
  after(() => lab.close());
  beforeEach(async () => {
    await lab.metadata.reset();
    seen = (await lab.metadata.log()).at(-1)?.seq ?? 0;
  });

  const newDirectory = () => mkdtempSync(join(lab.home, 'spool-'));

  async function ask(
    asked: Partial<Asked> = {},
    from: 'host' | 'pod' = 'host',
  ): Promise<{ told: Told; requests: SeenRequest[] }> {
    const all = {
      directory: newDirectory(),
      machine: { machineId: MACHINE_ID },
      bootId: randomUUID(),
      goOnMs: 0,
      ...asked,
    };
    const { stdout, stderr } = await lab.run([process.execPath, PROGRAM, JSON.stringify(all)], { from });
    assert.equal(stderr, '');
    const log = await lab.metadata.log();
    const requests = log.filter(({ seq }) => seq > seen);
    seen = log.at(-1)?.seq ?? 0;
    return { told: JSON.parse(stdout) as Told, requests };
  }

  const targets = (requests: SeenRequest[]) => requests.map(({ method, target }) => `${method} ${target}`);

  it('learns account, region, zone, type and image by three requests, all IMDSv2', async () => {
    const { told, requests } = await ask();
    assert.deepEqual(targets(requests), [
      'PUT /latest/api/token',
      'GET /latest/dynamic/instance-identity/document',
      'GET /latest/meta-data/tags/instance',
    ]);
    assert.deepEqual([...new Set(requests.map(({ version }) => version))], [2]);
    assert.equal(told.source, 'imds');
    assert.deepEqual(told.facts, {
      id: INSTANCE_ID,
      name: 'lab',
      'cloud.account.id': '123456789012',
      'cloud.region': 'eu-central-1',
      'cloud.availability_zone': 'eu-central-1a',
      type: 'm7i.large',
      'image.id': 'ami-0123456789abcdef0',
    });
  });

  it('learns tags, and with them the Auto Scaling group and the cluster, where they are allowed', async () => {
    await lab.metadata.set({ instanceTags: 'enabled' });
    const { told, requests } = await ask();
    assert.deepEqual(told.facts.tags, LAB_TAGS);
    assert.equal(requests.length, 3 + Object.keys(LAB_TAGS).length);
    assert.equal(told.counters['requests'], requests.length);
  });

  it('asks once a boot, and again after the next', async () => {
    const directory = newDirectory();
    const bootId = randomUUID();
    const first = await ask({ directory, bootId });
    const second = await ask({ directory, bootId });
    assert.deepEqual(second.requests, []);
    assert.deepEqual(second.told.facts, first.told.facts);
    const third = await ask({ directory, goOnMs: 1_500 });
    assert.equal(third.requests.length, 3);
    assert.equal(third.told.id, INSTANCE_ID);
  });

  it('keeps no token, and a file for its owner alone', async () => {
    const directory = newDirectory();
    await ask({ directory });
    assert.doesNotMatch(readFileSync(join(directory, 'host.json'), 'utf8'), /AQAE|token/i);
  });

  for (const [name, change] of [
    ['403', { tokenAnswer: 403 }],
    ['404', { tokenAnswer: 404 }],
    ['no answer', { tokenAnswer: 'hang' }],
    ['a reset', { answer: 'reset' }],
    ['503', { answer: 'throttle' }],
    ['a service that is off', { httpEndpoint: 'disabled' }],
  ] as const) {
    it(`a token request that gets ${name} is all there is: no read follows`, async () => {
      await lab.metadata.set(change);
      const { told, requests } = await ask();
      assert.deepEqual(targets(requests), ['PUT /latest/api/token']);
      assert.deepEqual(told.facts, { id: MACHINE_ID, name: 'lab' });
      assert.equal(told.source, 'machine_id');
      assert.equal(told.counters['failures'], 1);
      assert.ok(told.settledMs < 3_500, `${told.settledMs} ms`);
    });
  }

  it("behind a hop limit of 1 the id of a pod's agent is the name of its node", async () => {
    await lab.addPod();
    await lab.metadata.set({ putResponseHopLimit: 1 });
    const { told, requests } = await ask({ machine: { nodeName: 'node-7.internal' } }, 'pod');
    assert.deepEqual(targets(requests), ['PUT /latest/api/token']);
    assert.deepEqual(told.facts, { id: 'node-7.internal', name: 'node-7.internal' });
  });

  it('gives up within one boot, restarts included', async () => {
    await lab.metadata.set({ tokenAnswer: 403 });
    const asked = { directory: newDirectory(), bootId: randomUUID(), goOnMs: 1_200, firstRetryMs: 20 };
    const first = await ask(asked);
    assert.equal(first.requests.length, 6);
    const second = await ask(asked);
    assert.deepEqual(second.requests, []);
  });

  it('a process that is killed over and over while it asks stays within the bound', async () => {
    await lab.metadata.set({ answer: 'hang' });
    const asked: Asked = {
      directory: newDirectory(),
      machine: { machineId: MACHINE_ID },
      bootId: randomUUID(),
      goOnMs: 1_000,
    };
    const before = await lab.metadata.connections();
    for (let kills = 0; kills < 4; kills++) {
      const already = await lab.metadata.connections();
      const running = lab.spawn([process.execPath, PROGRAM, JSON.stringify(asked)], { stdio: 'ignore' });
      const isOver = running.exited.then(() => true);
      const asksNow = async () => (await lab.metadata.connections()) > already;
      while (!(await asksNow()) && !(await Promise.race([isOver, sleep(20, false)])));
      await running.stop('SIGKILL');
    }
    assert.equal((await lab.metadata.connections()) - before, 2, 'twice 16 were set aside, of 32');
  });

  it('sends no request if their number cannot be stored', async () => {
    const file = join(newDirectory(), 'file');
    writeFileSync(file, '');
    const { told, requests } = await ask({ directory: file, goOnMs: 1_000 });
    assert.deepEqual(requests, []);
    assert.equal(told.id, MACHINE_ID);
    assert.ok(told.counters['cache_failures']! > 0);
  });

  it('facts that are learnt late are added, and the id stays', async () => {
    await lab.metadata.set({ delayMs: 1_900 });
    const { told } = await ask({ goOnMs: 4_000 });
    assert.equal(told.id, MACHINE_ID);
    assert.ok(told.settledMs >= 2_900 && told.settledMs < 3_600, `${told.settledMs} ms`);
    assert.equal(told.facts.id, MACHINE_ID);
    assert.equal(told.facts['cloud.account.id'], '123456789012');
  });

  it('DMI gives the instance id at once, and answers that contradict it are ignored', async () => {
    const agrees = await ask({ machine: { instanceId: INSTANCE_ID }, goOnMs: 1_500 });
    assert.ok(agrees.told.settledMs < 100, `${agrees.told.settledMs} ms`);
    assert.equal(agrees.told.source, 'dmi');
    assert.equal(agrees.told.facts.type, 'm7i.large');
    const other = await ask({ machine: { instanceId: 'i-0fedcba9876543210' }, goOnMs: 1_500 });
    assert.deepEqual(other.told.facts, { id: 'i-0fedcba9876543210', name: 'lab' });
    assert.equal(other.told.counters['failures'], 1);
  });

  it('after an image was copied, the id is requested from the metadata service again', async () => {
    const directory = newDirectory();
    const { told } = await ask({ directory });
    assert.equal(told.id, INSTANCE_ID);
    // The same files on another machine, whose Xen UUID is another one or whose machine id is.
    const copied = await ask({ directory, machine: { machineId: 'ffffffffffffffffffffffffffffffff' } });
    assert.equal(copied.told.counters['foreign_cache'], 1);
    assert.equal(copied.requests.length, 3);
  });
});
