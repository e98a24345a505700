/** The agent asks the metadata service who it is while it watches: its own calls are no findings, and are counted. */
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readState } from '../../agent/outbox/state_file.ts';
import { openStoreForReading } from '../../collector/store/sqlite/sqlite_store.ts';
import { Lab } from '../../lab/lab.ts';
import { IMDS_IPV4 } from '../../protocol/endpoints.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const TIMEOUT_MS = 60_000;

describe("the agent's own calls", { skip }, () => {
  let lab: Lab;
  before(async () => {
    lab = await Lab.create({ name: 'own' });
    await lab.metadata.set({ instanceTags: 'enabled' });
  });
  after(() => lab.close());

  for (const { name, before: wrapper, attribution } of [
    { name: 'by eBPF, where it can be', before: [], attribution: 'auto' },
    { name: 'by sock_diag', before: [], attribution: 'proc' },
    {
      name: 'in a pid namespace of its own',
      before: ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'],
      attribution: 'auto',
    },
  ]) {
    it(`are left out, ${name}`, async () => {
      const directory = mkdtempSync(join(lab.home, 'up-'));
      const [data, spool] = [join(directory, 'data'), join(directory, 'spool')];
      const already = (await lab.metadata.log()).length;
      const up = lab.spawn(
        [
          ...[...wrapper, process.execPath, MAIN, 'up', '--listen', '127.0.0.1:0'],
          ...['--data-dir', data, '--spool-dir', spool, '--attribution', attribution],
          ...['--host-id', 'lab-host', '--host-tags', 'team=operators', '--heartbeat-seconds', '1'],
          ...['--coverage-seconds', '5', '--rollup-seconds', '1'],
        ],
        { env: { IMDSWATCH_IDENTITY_FROM_IMDS: 'on', IMDSWATCH_DOCKER_SOCKET: 'none' } },
      );
      let said = '';
      up.child.stderr?.setEncoding('utf8').on('data', (chunk) => {
        said += chunk;
      });
      try {
        await until(
          () => /gave the facts of this host/.test(said) && /the agent watches/.test(said),
          () => said,
        );
        // Somebody else's, with our own user agent and the same paths, is a finding.
        const url = `http://${IMDS_IPV4}/latest/dynamic/instance-identity/document`;
        await lab.run(['curl', '-s', '-o', '/dev/null', '-A', 'imdswatch', url]);
        const own = (await lab.metadata.log()).length - already - 1;
        const state = () => readState(spool)?.heartbeat.counters;
        await until(
          () => state()?.['calls']?.['v1'] === 1 && state()?.['calls']?.['own'] === own,
          () => JSON.stringify({ own, calls: state()?.['calls'], said }),
        );
        assert.equal(state()?.['host']?.['requests'], own);
        assert.equal(state()?.['calls']?.['calls'], 1);
        await until(
          () => state()?.['spool']?.['acknowledged'] !== 0,
          () => JSON.stringify(state()),
        );
        await up.stop();

        const store = openStoreForReading(data);
        const window = { sinceUs: 0, untilUs: Date.now() * 1_000 + 60e6 };
        const filter = { window, hosts: null, identities: null, version: null, categories: null };
        const { calls } = await store.calls({ ...filter, outcomes: null, path: null }, 100, null);
        const [host] = await store.hostPage(null, null, 1);
        await store.close();
        assert.deepEqual(
          calls.map((call) => [call['imds.version'], call['imds.category']]),
          [[1, 'identity-document']],
        );
        assert.equal(host?.facts.id, 'lab-host');
        assert.equal(host.facts['cloud.account.id'], '123456789012');
        assert.equal(host.facts.type, 'm7i.large');
        assert.equal(host.facts.tags?.['aws:autoscaling:groupName'], 'lab-asg');
        assert.equal(host.facts.tags['team'], 'operators', 'what the operator says wins');
      } finally {
        await up.stop();
      }
    });
  }
});

async function until(condition: () => boolean, told: () => string): Promise<void> {
  for (const endMs = performance.now() + TIMEOUT_MS; !condition(); await sleep(50)) {
    assert.ok(performance.now() < endMs, told());
  }
}
