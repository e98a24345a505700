/**
 * The control of everything that must not be `ready`: a host on which all calls are IMDSv2, over the networks of containers and
 * with the habits of real clients, is `ready`, and nothing counts as lost.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { awsDocumentationSnippet } from '../../lab/clients.ts';
import { missingHere } from '../../lab/engines/need.ts';
import type { SpawnOptions } from '../../lab/lab.ts';
import { IMDS_IPV4, IMDS_IPV6 } from '../../protocol/endpoints.ts';
import { addMasqueradedBridge, SERVICE } from '../support/lab/masqueraded_bridge.ts';
import { EvasionLab, until } from './evasions/evasion_lab.ts';

const skip =
  process.getuid?.() === 0
    ? (missingHere(['nft']) ?? false)
    : 'needs root: builds network namespaces and captures packets';
const CALLERS = join(import.meta.dirname, '../support/lab/honest_callers.py');
const TARGET = '/latest/meta-data/instance-id';
const URL6 = `http://[${IMDS_IPV6}]`;
const ROUNDS = 3;
const LONG = '12';
const SETTLE_TIMEOUT_MS = 60_000;

/** Clients with a time limit of a second, as SDKs have, are left out: on a busy machine they fall back to IMDSv1. */
function wgetSnippet(): string {
  const ask = 'wget -q -O - --no-config';
  const url = `http://${IMDS_IPV4}`;
  return (
    `TOKEN=$(${ask} --method=PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' ${url}/latest/api/token) && ` +
    `${ask} --header "X-aws-ec2-metadata-token: $TOKEN" ${url}${TARGET}`
  );
}

for (const attribution of ['ebpf', 'proc'] as const) {
  describe(`an honest host, by ${attribution}`, { skip }, () => {
    let lab: EvasionLab;
    let places: Record<string, NonNullable<SpawnOptions['from']>>;

    before(async () => {
      lab = await EvasionLab.open(`honest${attribution}`, { isStrict: true });
      await lab.lab.metadata.set({ connection: 'keep-alive' });
      await lab.lab.addPod();
      const [first = '', second = ''] = await addMasqueradedBridge(lab.lab);
      places = { host: 'host', pod: 'pod', first: { namespace: first }, second: { namespace: second } };
      await lab.watch({
        flags: ['--attribution', attribution, '--max-namespaces', '64'],
      });
    });
    after(() => lab?.close());

    const run = async (place: string, argv: string[]) => {
      const result = await lab.lab.run(argv, { from: places[place]!, timeoutMs: 120_000 });
      assert.equal(result.status, 0, `${place}: ${argv.join(' ')}: ${result.stderr}`);
    };
    const calls = (how: string, place: string, host: string, count = LONG, port = '80') =>
      run(place, ['python3', CALLERS, how, host, port, TARGET, count]);
    const rounds = async (place: string, argv: string[]) => {
      for (let round = 0; round < ROUNDS; round++) await run(place, argv);
    };

    it('is ready after IMDSv2 calls over bridges and translated addresses, and has lost nothing', async (t) => {
      // One place after the other: a capture that cannot keep up on a busy machine loses packets, and says so.
      for (const place of ['host', 'pod', 'first', 'second']) {
        await Promise.all([
          calls('kept', place, IMDS_IPV4),
          calls('kept', place, IMDS_IPV6),
          calls('many', place, IMDS_IPV4),
        ]);
      }
      for (const place of ['host', 'first']) {
        await rounds(place, ['bash', '-c', awsDocumentationSnippet(`http://${IMDS_IPV4}`, TARGET)]);
        await rounds(place, ['bash', '-c', awsDocumentationSnippet(URL6, TARGET)]);
        for (const how of ['same_port', 'impatient', 'nonblocking']) await calls(how, place, IMDS_IPV4);
        await calls('many', place, SERVICE.address, LONG, String(SERVICE.port));
      }
      await rounds('host', ['bash', '-c', wgetSnippet()]);
      const log = await lab.lab.metadata.log();
      assert.deepEqual(
        log.filter(({ version }) => version === 1),
        [],
        'the callers are honest',
      );
      // Some clients were gone before the answer; their requests count all the same.
      const made = log.length;
      await until('every call is stored', SETTLE_TIMEOUT_MS, async () => {
        const stored = (await lab.host())?.readiness.calls_v2 ?? 0;
        return stored >= made;
      }).catch((error: Error) => t.diagnostic(error.message));
      await lab.quiet();
      const losses = lab.losses();
      const counters = lab.counters();
      await lab.stopAgent();
      const host = (await lab.host())!;
      t.diagnostic(JSON.stringify({ made, ...host.readiness }));
      assert.deepEqual(losses, {}, JSON.stringify(counters));
      assert.deepEqual([host.verdict, host.readiness.coverage.gaps], ['ready', []], JSON.stringify(counters));
      assert.equal(host.readiness.calls_v2, made, JSON.stringify(counters));
    });
  });
}
