/** Random batches of some hosts for property tests of stores: calls, roll-ups and reports, new, repeated and ahead. */
import * as fc from 'fast-check';
import type { StoredBatch, StoredRecord } from '../../../../collector/store/store.ts';
import type { CallerFacts } from '../../../../collector/store/workload_identity.ts';
import type { HostFacts } from '../../../../protocol/call.ts';
import { call, program, report, rollup } from './records.ts';

const HOUR_US = 3_600_000_000;
/** The clock of the collectors: the times of the records lie before it, some of them far after it. */
export const NOW_US = Date.UTC(2026, 10, 20, 12) * 1000;
const CALLERS: readonly CallerFacts[] = [
  ...['curl', 'aws', 'python3'].map(program),
  { ...program('unknown'), process: null },
];

const uuid = fc.tuple(fc.nat(0xffff_ffff), fc.nat(0xffff_ffff)).map(([a, b]) => {
  const hex = (value: number) => value.toString(16).padStart(8, '0');
  return `${hex(a)}-0000-7000-8000-0000${hex(b)}`;
});
/** Hours before now; negative ones are in the future. */
const hour = fc.oneof(
  { weight: 8, arbitrary: fc.nat(100) },
  { weight: 1, arbitrary: fc.constantFrom(-2, -100, 2_000) },
);
const timeUs = fc.tuple(hour, fc.nat(HOUR_US - 1)).map(([hours, us]) => NOW_US - hours * HOUR_US + us);

const callMade = fc
  .record({
    id: uuid,
    us: timeUs,
    caller: fc.nat(CALLERS.length - 1),
    version: fc.constantFrom(1 as const, 2 as const, null),
    category: fc.constantFrom('credentials' as const, 'metadata' as const, 'token' as const),
    status: fc.constantFrom(200, 401, 404, null),
    path: fc.constantFrom('/latest/meta-data/', '/latest/user-data', '/a\u0000b', null),
    userAgent: fc.constantFrom('curl/8', 'Boto3/1', null),
    fallback: fc.constantFrom('token_unanswered' as const, null),
    hops: fc.constantFrom(1, 2, null),
    source: fc.constantFrom('10.0.0.5', '10.0.0.6'),
    durationMs: fc.constantFrom(0.25, 12, null),
  })
  .map(({ id, us, caller, version, category, status, path, userAgent, fallback, hops, source, durationMs }) =>
    call(
      us,
      {
        id,
        'imds.version': version,
        'imds.category': category,
        'http.response.status_code': status,
        'url.path': path,
        'user_agent.original': userAgent,
        'imds.fallback': fallback,
        'imds.hops': hops,
        'imds.token_hop_limit': hops === null ? null : hops + 1,
        'source.address': source,
        duration_ms: durationMs,
      },
      caller,
    ),
  );
const rollupMade = fc
  .record({ id: uuid, us: timeUs, count: fc.integer({ min: 1, max: 90 }), status: fc.constantFrom(200, 404) })
  .map(({ id, us, count, status }) =>
    rollup(us, us + 30_000_000, [{ count, 'http.response.status_code': status }, { count: 1 }], { id }),
  );
const reportMade = fc
  .record({
    id: uuid,
    us: timeUs,
    boot: fc.nat(2),
    liveShare: fc.constantFrom(1, 0.5),
    lost: fc.nat(2),
    kernel: fc.constantFrom(null, 2, 9),
  })
  .map(
    ({ id, us, boot, liveShare, lost, kernel }) =>
      (hostId: string): StoredRecord =>
        report(hostId, us, us + 60_000_000, {
          id,
          boot_id: `boot-${boot}`,
          live_ms: 60_000 * liveShare,
          kernel_connections: kernel,
          losses: lost === 0 ? {} : { 'decode.dropped': lost },
        }),
  );

const batchMade = fc.record({
  host: fc.nat(3),
  /** 1 is the next batch of the stream, 0 the last one again, 2 one too early. */
  step: fc.oneof({ weight: 8, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.constantFrom(0, 2) }),
  partial: fc.oneof(
    { weight: 9, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
  leftOut: fc.constantFrom(0, 0, 3),
  tags: fc.constantFrom(undefined, { team: 'a' }, { team: 'b' }),
  records: fc.array(
    fc.oneof(
      { weight: 5, arbitrary: callMade },
      { weight: 1, arbitrary: rollupMade },
      { weight: 2, arbitrary: reportMade },
    ),
    { maxLength: 8 },
  ),
  /** Sends the records of the batch before once more, as an agent does whose stream begins anew. */
  again: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});

/** Gives some hosts an account and a region. One moves when its tags change. */
function placeOf(host: number, tags: HostFacts['tags']): Partial<HostFacts> {
  if (host === 0) return {};
  const region = host === 1 || tags?.['team'] === 'a' ? 'eu-west-1' : 'us-east-1';
  return { 'cloud.account.id': host === 2 ? '444455556666' : '111122223333', 'cloud.region': region };
}

/** Returns groups of batches, each of which is written in one call. */
export function randomBatches(): fc.Arbitrary<StoredBatch[][]> {
  return fc
    .array(fc.array(batchMade, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 })
    .map((groups) => {
      const positions = new Map<number, number>();
      const before = new Map<number, StoredRecord[]>();
      return groups.map((group) =>
        group.map(({ host, step, partial, leftOut, tags, records, again }) => {
          const facts: HostFacts = {
            id: `i-${host}`,
            name: `host-${host}`,
            ...placeOf(host, tags),
            ...(tags && { tags }),
          };
          const seq = (positions.get(host) ?? 0) + step;
          if (step === 1 && !partial) positions.set(host, seq);
          const made = records.map((record) => (typeof record === 'function' ? record(facts.id) : record));
          const all = again ? [...(before.get(host) ?? []), ...made] : made;
          before.set(host, made);
          return {
            stream: `stream-${host}`,
            seq,
            host: facts,
            callers: [...CALLERS],
            records: all,
            leftOut,
            partial,
          };
        }),
      );
    });
}
