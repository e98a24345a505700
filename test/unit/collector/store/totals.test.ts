/** Totals from roll-ups, compared with a plain sum over the same records. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { HOUR_US } from '../../../../collector/contract/window.ts';
import { isIdList } from '../../../../collector/store/host_filter.ts';
import { openForReading, openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { FindingsReader } from '../../../../collector/store/sqlite/findings_reader.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { FindingsWriter } from '../../../../collector/store/sqlite/findings_writer.ts';
import { pack } from '../../../../collector/store/sqlite/packed_batch.ts';
import type { Scope } from '../../../../collector/store/store.ts';
import { identityId, workloadIdentity } from '../../../../collector/store/workload_identity.ts';
import { isRefusedToken } from '../../../../protocol/v1_use.ts';
import { call, host, program, rollup, stream } from '../../../support/collector/store/records.ts';

const START_US = Date.UTC(2026, 10, 1, 5) * 1000;
const HOSTS = ['a', 'b', 'c'];
const PROGRAMS = ['curl', 'aws', 'python3'];
const CALLERS = PROGRAMS.map(program);
const IDS = CALLERS.map((facts) => identityId(workloadIdentity(facts, '', '')));

interface Made {
  host: number;
  program: number;
  hour: number;
  offsetUs: number;
  /** 0: a roll-up of IMDSv2 calls. */
  version: 0 | 1 | 2 | null;
  status: number | null;
  category: 'credentials' | 'metadata';
  agent: string | null;
  count: number;
}

const made: fc.Arbitrary<Made> = fc.record({
  host: fc.nat(HOSTS.length - 1),
  program: fc.nat(PROGRAMS.length - 1),
  hour: fc.nat(24 * 5),
  offsetUs: fc.nat(HOUR_US - 1),
  version: fc.constantFrom(0, 1, 1, 2, null),
  status: fc.constantFrom(200, 401, null),
  category: fc.constantFrom('credentials', 'metadata'),
  agent: fc.constantFrom('Boto3/1.9', 'curl/8', null),
  count: fc.integer({ min: 1, max: 50 }),
});

const some = (size: number) =>
  fc.option(fc.subarray(Array.from({ length: size }, (_, index) => index)), { nil: null });
const question = fc.record({
  from: fc.nat(24 * 6),
  hours: fc.nat(24 * 6),
  hosts: some(3),
  identities: some(3),
});

function write(writer: FindingsWriter, records: Made[]): void {
  const streams = HOSTS.map((name) => stream(host(name), CALLERS));
  // Several transactions, so that rows are added to and not only made.
  for (let at = 0; at < records.length; at += 7) {
    const group = Map.groupBy(records.slice(at, at + 7), (record) => record.host);
    const batches = [...group].map(([index, of]) => streams[index]!(...of.map(recordOf)));
    writer.write(pack(batches));
  }
}

function recordOf(of: Made) {
  const timeUs = timeOf(of);
  if (of.version === 0) {
    const line = { count: of.count, 'imds.category': of.category, 'http.response.status_code': of.status };
    const record = rollup(timeUs, timeUs + 5, [line], { 'user_agent.original': of.agent });
    return { ...record, caller: of.program };
  }
  const changes = {
    'imds.version': of.version,
    'imds.category': of.category,
    'http.response.status_code': of.status,
    'user_agent.original': of.agent,
  };
  return call(timeUs, changes, of.program);
}

const timeOf = ({ hour, offsetUs }: Made) => START_US + hour * HOUR_US + offsetUs;
const countOf = ({ version, count }: Made) => (version === 0 ? count : 1);
const versionOf = ({ version }: Made) => (version === 0 ? 2 : version);

function add(sums: Map<string, number[]>, key: unknown[], ...amounts: number[]): void {
  const sum = sums.get(JSON.stringify(key)) ?? amounts.map(() => 0);
  sums.set(
    JSON.stringify(key),
    sum.map((value, index) => value + amounts[index]!),
  );
}

function sorted(sums: Map<string, number[]>): [string, number[]][] {
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1));
}

test('totals from roll-ups equal a plain sum over the records', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(made, { maxLength: 60 }),
      fc.array(question, { minLength: 1, maxLength: 4 }),
      async (records, questions) => {
        const dataDir = mkdtempSync(join(tmpdir(), 'imdswatch-test-'));
        const database = openForWriting(dataDir, FINDINGS);
        const reader = new FindingsReader(openForReading(dataDir, FINDINGS));
        try {
          const writer = new FindingsWriter(database);
          // Asked in between: what was summed once is not what is true of days into which more came.
          for (const to of [Math.floor(records.length / 2), records.length]) {
            write(writer, records.slice(to === records.length ? Math.floor(to / 2) : 0, to));
            const written = records.slice(0, to);
            for (const { from, hours, hosts, identities } of questions) {
              const window = {
                sinceUs: START_US + (from - 12) * HOUR_US,
                untilUs: START_US + (from - 12 + hours) * HOUR_US,
              };
              const scope: Scope = {
                window,
                hosts: hosts?.map((index) => `i-${HOSTS[index]}`) ?? null,
                identities: identities?.map((index) => IDS[index]!) ?? null,
              };
              const asked = written.filter(
                (of) =>
                  timeOf(of) >= window.sinceUs &&
                  timeOf(of) < window.untilUs &&
                  (hosts?.includes(of.host) ?? true) &&
                  (identities?.includes(of.program) ?? true),
              );
              await compare(reader, scope, asked);
            }
          }
        } finally {
          await reader.close();
          database.close();
          rmSync(dataDir, { recursive: true });
        }
      },
    ),
    { numRuns: 60 },
  );
});

async function compare(reader: FindingsReader, scope: Scope, asked: Made[]): Promise<void> {
  const expected = {
    identities: new Map(),
    hosts: new Map(),
    v1: new Map(),
    series: new Map(),
    days: new Map(),
  };
  const times = new Map<string, [number, number]>();
  for (const of of asked) {
    const count = countOf(of);
    const version = versionOf(of);
    const id = IDS[of.program]!;
    const kind = [version, of.category, of.status, of.agent];
    add(expected.identities, [id, ...kind], count);
    add(
      expected.hosts,
      version === 2 && !isRefusedToken({ version, category: of.category, status: of.status })
        ? [`i-${HOSTS[of.host]}`, null, 2]
        : [`i-${HOSTS[of.host]}`, id, ...kind],
      count,
    );
    if (version === 1) add(expected.v1, [id, `i-${HOSTS[of.host]}`], count);
    if (version !== null) {
      const v1 = version === 1 ? 1 : 0;
      const handedOut = v1 === 1 && of.category === 'credentials' && of.status === 200 ? 1 : 0;
      const hour = Math.floor(timeOf(of) / HOUR_US);
      add(expected.series, [hour, null], v1, handedOut, version === 2 ? count : 0);
      add(expected.days, [Math.floor(hour / 24) * 24, id], v1, handedOut, version === 2 ? count : 0);
    }
    const key = JSON.stringify([id, ...kind]);
    const [first, last] = times.get(key) ?? [Number.POSITIVE_INFINITY, 0];
    const end = timeOf(of) + (of.version === 0 ? 5 : 0);
    times.set(key, [Math.min(first, timeOf(of)), Math.max(last, end)]);
  }
  const found = {
    identities: new Map(),
    hosts: new Map(),
    v1: new Map(),
    series: new Map(),
    days: new Map(),
  };
  for (const { identity, kinds } of await reader.identityTotals(scope)) {
    const perKind = new Map<string, [number, number]>();
    for (const { version, category, status, userAgent, count, firstUs, lastUs } of kinds) {
      const key = [identity.id, version, category, status, userAgent];
      add(found.identities, key, count);
      const [first, last] = perKind.get(JSON.stringify(key)) ?? [Number.POSITIVE_INFINITY, 0];
      perKind.set(JSON.stringify(key), [Math.min(first, firstUs), Math.max(last, lastUs)]);
    }
    for (const [key, span] of perKind) assert.deepEqual(span, times.get(key));
  }
  const hosts = isIdList(scope.hosts) ? scope.hosts : HOSTS.map((name) => `i-${name}`);
  for (const { hostId, identity, kinds } of await reader.hostTotals({ ...scope, hosts })) {
    for (const { version, category, status, userAgent, count } of kinds) {
      const kind = identity === null ? [2] : [version, category, status, userAgent];
      add(found.hosts, [hostId, identity, ...kind], count);
    }
  }
  for (const { latest } of await reader.workloadHosts(scope, { latest: HOSTS.length, tagKeys: [] })) {
    for (const { identity, hostId, callsV1 } of latest)
      if (callsV1 > 0) add(found.v1, [identity, hostId], callsV1);
  }
  for (const { startUs, identity, v1, v1Credentials, v2 } of await reader.series(scope, 'hour', false)) {
    add(found.series, [startUs / HOUR_US, identity], v1, v1Credentials, v2);
  }
  for (const { startUs, identity, v1, v1Credentials, v2 } of await reader.series(scope, 'day', true)) {
    add(found.days, [startUs / HOUR_US, identity], v1, v1Credentials, v2);
  }
  for (const name of ['identities', 'hosts', 'v1', 'series', 'days'] as const) {
    assert.deepEqual(sorted(found[name]), sorted(expected[name]), name);
  }
}
