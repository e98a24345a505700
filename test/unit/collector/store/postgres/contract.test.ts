/** Tests that both stores answer every question alike, after the same random batches, heartbeats and figures of the cloud. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as fc from 'fast-check';
import { heardHost } from '../../../../../collector/store/packed_heartbeat.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../../../../collector/store/postgres/postgres_store.ts';
import { openForReading, openForWriting } from '../../../../../collector/store/sqlite/database.ts';
import { FindingsReader } from '../../../../../collector/store/sqlite/findings_reader.ts';
import { FINDINGS } from '../../../../../collector/store/sqlite/findings_schema.ts';
import { FindingsWriter } from '../../../../../collector/store/sqlite/findings_writer.ts';
import { pack } from '../../../../../collector/store/sqlite/packed_batch.ts';
import type { CloudCount, CloudInstance, CloudMember, Scope } from '../../../../../collector/store/store.ts';
import { heartbeatOf } from '../../../../support/collector/insight/findings.ts';
import { answersOf } from '../../../../support/collector/store/contract.ts';
import { NOW_US, randomBatches } from '../../../../support/collector/store/random_batches.ts';
import { EVER } from '../../../../support/collector/store/records.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

const HOUR_US = 3_600_000_000;
const HOST_IDS = ['i-0', 'i-1', 'i-2', 'i-3', 'i-4'];
const hostId = fc.constantFrom(...HOST_IDS);
const hourUs = fc.nat(90).map((hours) => (Math.floor(NOW_US / HOUR_US) - hours) * HOUR_US);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });

const countMade: fc.Arbitrary<CloudCount> = fc
  .record({
    hostId,
    startUs: hourUs,
    hours: fc.integer({ min: 1, max: 5 }),
    noToken: fc.nat(1),
    noTokenRejected: maybe(fc.nat(1)),
  })
  .map(({ hours, ...count }) => ({ ...count, endUs: count.startUs + hours * HOUR_US }));
const instanceMade: fc.Arbitrary<CloudInstance> = fc.record({
  hostId,
  httpTokens: maybe(fc.constantFrom('optional' as const, 'required' as const)),
  hopLimit: maybe(fc.constantFrom(1, 2)),
  httpEndpoint: maybe(fc.constantFrom('enabled' as const, 'disabled' as const)),
  suppliedUs: hourUs,
});
const memberMade: fc.Arbitrary<CloudMember> = fc.record({
  hostId,
  account: fc.constant('111'),
  region: fc.constantFrom('eu-west-1', 'us-east-1'),
  state: maybe(fc.constantFrom('running', 'terminated')),
  launchedUs: maybe(hourUs),
  terminatedUs: maybe(hourUs),
  imageId: maybe(fc.constant('ami-1')),
  scalingGroup: maybe(fc.constant('web')),
  templateId: fc.constant(null),
  templateVersion: fc.constant(null),
  isSpot: maybe(fc.boolean()),
  managedBy: fc.constant(null),
  tags: maybe(fc.constant({ env: 'prod' })),
  suppliedUs: hourUs,
});
const cloudMade = fc.record({
  counts: fc.array(countMade, { maxLength: 4 }),
  instances: fc.array(instanceMade, { maxLength: 3 }),
  members: fc.array(memberMade, { maxLength: 3 }),
  heartbeats: fc.array(fc.tuple(hostId, hourUs), { maxLength: 2 }),
});
const windowMade = fc
  .tuple(fc.nat(100 * HOUR_US), fc.nat(50 * HOUR_US))
  .map(([beforeUs, us]) => ({ sinceUs: NOW_US - beforeUs, untilUs: NOW_US - beforeUs + us + 1 }));

describe('both stores answer alike', { skip: NO_POSTGRES }, () => {
  let server: PostgresServer;
  let directory: string;
  before(async () => {
    server = await PostgresServer.start();
    directory = mkdtempSync(join(tmpdir(), 'imdswatch-contract-'));
  });
  after(async () => {
    await server?.close();
    if (directory !== undefined) rmSync(directory, { recursive: true });
  });

  test('random records, heartbeats and figures of the cloud', async () => {
    await fc.assert(
      fc.asyncProperty(
        randomBatches(),
        fc.array(cloudMade, { maxLength: 3 }),
        windowMade,
        async (groups, clouds, window) => {
          const dataDir = mkdtempSync(join(directory, 'store-'));
          const database = openForWriting(dataDir, FINDINGS);
          const nowUs = () => NOW_US;
          const writer = new FindingsWriter(database, nowUs);
          const reader = new FindingsReader(openForReading(dataDir, FINDINGS));
          const store = await PostgresStore.open(parseDatabaseUrl(await server.createDatabase()), { nowUs });
          try {
            for (let at = 0; at < Math.max(groups.length, clouds.length); at += 1) {
              const batches = groups[at] ?? [];
              const { counts = [], instances = [], members = [], heartbeats = [] } = clouds[at] ?? {};
              const inventory = {
                instances: members,
                resources: members.map(({ account, region, suppliedUs }) => ({
                  facts: { kind: 'account_defaults', account, region, id: 'defaults' } as never,
                  suppliedUs,
                })),
              };
              writer.putCloudInventory(inventory);
              await store.putCloudInventory(inventory);
              assert.deepEqual(await store.write(batches), writer.write(pack(batches)));
              writer.putCloudCounts(counts);
              await store.putCloudCounts(counts);
              writer.putCloudInstances(instances);
              await store.putCloudInstances(instances);
              for (const [id, receivedUs] of heartbeats) {
                const heartbeat = heartbeatOf(id, receivedUs);
                writer.heartbeats([heardHost(heartbeat, receivedUs)]);
                await store.heartbeats([heardHost(heartbeat, receivedUs)]);
              }
            }
            const identities = (await reader.identitiesAfter(0, 100)).map(({ identity }) => identity.id);
            const scopes: Scope[] = [
              { window: EVER, hosts: null, identities: null },
              { window, hosts: null, identities: null },
              { window, hosts: ['i-1', 'i-2', 'i-9'], identities: null },
              { window: EVER, hosts: null, identities: identities.slice(0, 2) },
              { window: EVER, hosts: { tags: [{ key: 'team', value: 'a' }] }, identities: null },
              {
                window,
                hosts: { text: 'HOST-1', firstSinceUs: window.sinceUs },
                identities: identities.slice(1),
              },
            ];
            const questions = { scopes, hostIds: HOST_IDS, identities };
            const expected = JSON.parse(
              JSON.stringify(await answersOf(reader, questions)).replaceAll('\\u0000', '\ufffd'),
            );
            const answers = JSON.parse(JSON.stringify(await answersOf(store, questions)));
            for (const [question, answer] of Object.entries(expected)) {
              assert.deepEqual(answers[question], answer, question);
            }
          } finally {
            await store.close();
            await reader.close();
            database.close();
          }
        },
      ),
      // Each attempt to shrink makes two stores.
      { numRuns: 3, endOnFailure: true },
    );
  });
});
