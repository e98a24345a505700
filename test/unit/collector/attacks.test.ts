/**
 * The attacks of the benchmark `hostile`, a few frames of each, against a real collector: what it stores of
 * them is bounded and readable, and an honest agent beside them loses nothing. How fast it stays is for the
 * benchmark to say.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, test } from 'node:test';
import { ATTACKS, HOSTILE_ID } from '../../../bench/collector/attacks.ts';
import { MAX_GAPS_OF_DAY } from '../../../collector/store/sqlite/gap_rows.ts';
import { MAX_BOOTS } from '../../../collector/store/sqlite/gap_writer.ts';
import { DAILY } from '../../../collector/store/sqlite/host_bounds.ts';
import { makeCall } from '../../support/collector/calls.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { Peer } from '../../support/collector/peer.ts';
import { eventually } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

/** Below what a host may send in its first second, so that nobody waits. */
const FRAMES = 12;
const HOSTILE = { id: HOSTILE_ID, name: 'hostile' };
/** The longest text that the contract has, and some room for what JSON puts around the facts of a process. */
const MAX_TEXT_BYTES = 4 * 4096;
const MAX_FACTS_BYTES = 600_000;

for (const [name, attack] of Object.entries(ATTACKS)) {
  test(`one hostile host: ${name}`, async () => {
    const dataDir = bench.directory();
    const collector = await bench.collector({ data_dir: dataDir });
    const good = await new Peer(bench, collector.address.url).hello();
    const hello = { host: HOSTILE, protocol: 1, protocol_max: 2, stream: randomUUID() };
    const hostile = await new Peer(bench, collector.address.url).hello(hello);
    const sent = Array.from({ length: FRAMES }, (_, at) => ({ seq: at + 1, ...attack(at) }));
    for (const frame of sent) hostile.send(frame);
    for (let seq = 1; seq <= 3; seq += 1) {
      good.send({ type: 'batch', seq, records: [{ kind: 'call', call: makeCall() }] });
      assert.equal((await good.next('ack'))['rejected'], 0);
    }
    const isBatch = attack(0)['type'] === 'batch';
    if (isBatch) {
      await eventually('every batch is answered', () => {
        // One acknowledgement may be for all batches up to its number.
        const last = hostile.frames.findLast(({ type }) => type === 'ack')?.['seq'];
        return last === Math.max(...sent.map(({ seq }) => seq)) || hostile.closed !== null;
      });
    } else {
      await eventually('heartbeats are taken', () => collector.counters()['ingest']!['heartbeats']! > 0);
    }
    await collector.stop();

    const database = new DatabaseSync(join(dataDir, 'imdswatch.db'), { readOnly: true });
    bench.atEnd(() => database.close());
    const number = (sql: string) => Number(Object.values(database.prepare(sql).get()!)[0]);
    const bounds: [string, number][] = [
      ['identities', DAILY.workloads + 2],
      ['kinds', DAILY.kinds + 100],
      ['user_agents', DAILY.user_agents + 3],
      ['shapes', DAILY.shapes + 20],
      ['callers', DAILY.callers + DAILY.workloads],
      ['boots', MAX_BOOTS],
      ['gaps', 5 * 16 * MAX_GAPS_OF_DAY],
      ['coverage_days', DAILY.coverage_days],
    ];
    for (const [table, most] of bounds) {
      const rows = number(`SELECT count(*) FROM ${table}`);
      assert.ok(rows <= most, `${rows} rows in ${table}`);
    }
    const texts: [string, string, number][] = [
      ['caller_facts', 'facts', MAX_FACTS_BYTES],
      ['identities', 'facts', 4 * MAX_TEXT_BYTES],
      ['user_agents', 'text', MAX_TEXT_BYTES],
      ['calls', 'path', MAX_TEXT_BYTES],
      ['gaps', 'amounts', 20_000],
      ['heartbeats', 'body', 100_000],
    ];
    for (const [table, column, most] of texts) {
      const bytes = number(`SELECT coalesce(max(length(CAST(${column} AS BLOB))), 0) FROM ${table}`);
      assert.ok(bytes <= most, `${bytes} bytes in ${table}.${column}`);
    }
    const ofGood = `host = (SELECT id FROM hosts WHERE host_id <> '${HOSTILE_ID}')`;
    assert.equal(number(`SELECT count(*) FROM calls WHERE ${ofGood}`), 3);
    assert.equal(number(`SELECT count(*) FROM gaps WHERE ${ofGood}`), 0);
  });
}
