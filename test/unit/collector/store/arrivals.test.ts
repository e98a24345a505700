/** Tests that calls are read in the order of their arrival, each once, whatever the order of times and of commits. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as fc from 'fast-check';
import pg from 'pg';
import { type CallKey, keysBehind, notesOf } from '../../../../collector/store/arrivals.ts';
import { storeArrivals } from '../../../../collector/store/postgres/arrival_notes.ts';
import type { Session } from '../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../../../collector/store/postgres/postgres_store.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import type { Store, StoredBatch } from '../../../../collector/store/store.ts';
import { ALL_CALLS, call, host, stream } from '../../../support/collector/store/records.ts';
import { NO_POSTGRES, PostgresServer } from '../../../support/postgres.ts';

const NOW_US = Date.now() * 1000;
const HOUR_US = 3_600_000_000;
const RETAINED = { rawDays: 14, rollupDays: 400, maxBytes: 1e12 };

const idsOf = (batches: readonly StoredBatch[]) =>
  batches.flatMap(({ records }) => records.flatMap((each) => (each.kind === 'call' ? [each.call.id] : [])));

/** Reads all calls behind a position, some at a time. */
async function readAll(store: Store, from: number, limit: number) {
  const ids: string[] = [];
  const hosts: string[] = [];
  let after = from;
  for (;;) {
    const { calls, positions, next } = await store.arrivals(after, limit);
    assert.equal(calls.length, positions.length);
    assert.ok(next - after <= limit, 'a page has at most as many positions as were asked for');
    ids.push(...calls.map(({ id }) => id));
    hosts.push(...calls.map((each) => each.host.id));
    if (next === after) return { ids, hosts, next };
    after = next;
  }
}

test('notes give back their keys behind every position', () => {
  const keyMade: fc.Arbitrary<CallKey> = fc.record(
    {
      host: fc.nat(2 ** 31 - 1),
      timeUs: fc.integer({ min: -(10 ** 15), max: 4 * 10 ** 15 }),
      id: fc.stringMatching(/^[0-9a-f]{32}$/),
    },
    { noNullPrototype: true },
  );
  return fc.assert(
    fc.property(
      fc.array(fc.array(keyMade, { maxLength: 6 })),
      fc.nat(20),
      fc.nat(8),
      (groups, from, limit) => {
        let last = 0;
        const notes = groups.flatMap((keys) =>
          notesOf(keys).map(({ calls, keys: bytes }) => {
            last += calls;
            return { last, calls, storedUs: last * 7, keys: bytes };
          }),
        );
        const found = keysBehind(
          notes.filter((note) => note.last > from),
          from,
          limit + 1,
        );
        assert.deepEqual(found.keys, groups.flat().slice(from, from + limit + 1));
        assert.deepEqual(
          found.positions,
          found.keys.map((_, at) => from + at + 1),
        );
      },
    ),
  );
});

function testArrivals(open: () => Promise<Store>): void {
  test('late calls come in the order of their arrival, and nothing before notes were wanted', async () => {
    const store = await open();
    const [a, b] = [stream(host('a')), stream(host('b'))];
    await store.write([a(call(NOW_US))]);
    assert.deepEqual(await store.arrivalsBehind(0), {
      last: 0,
      storedUs: null,
      oldestUs: null,
      deletedUpTo: 0,
      followedUs: null,
    });
    await store.noteArrivals(NOW_US);
    const written: StoredBatch[] = [];
    for (const hours of [0, 90, 3, 200, 1]) {
      const some = [
        a(call(NOW_US - hours * HOUR_US), call(NOW_US - hours * HOUR_US - 7)),
        b(call(NOW_US - hours * HOUR_US + 5)),
      ];
      await store.write(some);
      written.push(...some);
    }
    // A batch that comes again is not a second arrival.
    await store.write(written.slice(0, 2));
    for (const limit of [1, 2, 4, 100]) {
      const { ids, hosts, next } = await readAll(store, 0, limit);
      assert.equal(next, 15);
      assert.deepEqual([...ids].sort(), idsOf(written).sort());
      for (const name of ['i-a', 'i-b']) {
        const of = written.filter((each) => each.host.id === name);
        assert.deepEqual(
          ids.filter((_, at) => hosts[at] === name),
          idsOf(of),
        );
      }
    }
    const [first] = (await store.arrivals(0, 1)).calls;
    const page = await store.calls(ALL_CALLS, 100, null);
    assert.deepEqual(
      first,
      page.calls.find(({ id }) => id === first!.id),
      'the same call as in lists',
    );
    assert.equal((await store.arrivalsBehind(3)).last, 15);
  });

  test('calls that retention deleted are left out, and their positions show how many', async () => {
    const store = await open();
    await store.noteArrivals(NOW_US);
    const a = stream(host('a'));
    const old = () => call(NOW_US - 20 * 24 * HOUR_US);
    await store.write([a(old(), old(), old())]);
    const kept = a(call(NOW_US));
    await store.write([kept]);
    await store.write([a(old(), call(NOW_US))]);
    assert.equal((await store.arrivalsBehind(0)).oldestUs, NOW_US - 20 * 24 * HOUR_US);
    await store.retain(RETAINED, NOW_US);
    assert.equal((await store.arrivalsBehind(0)).deletedUpTo, 3);
    const { ids, next } = await readAll(store, 0, 2);
    assert.deepEqual([ids.length, next, ids[0]], [2, 6, idsOf([kept])[0]]);
  });

  test('notes end unless calls are followed, and later ones are told apart from earlier ones', async () => {
    const store = await open();
    const begunUs = await store.followArrivals(NOW_US);
    assert.equal(await store.followArrivals(NOW_US + 5), begunUs, 'the same notes');
    await store.noteArrivals(NOW_US + 6);
    assert.equal(await store.followArrivals(NOW_US - 9), begunUs);
    const a = stream(host('a'));
    await store.write([a(call(NOW_US))]);
    const { followedUs, last } = await store.arrivalsBehind(0);
    assert.deepEqual([followedUs, last], [NOW_US + 5, 1], 'a clock that goes back changes nothing');
    await store.endArrivals(NOW_US + 5);
    await store.write([a(call(NOW_US))]);
    assert.equal((await store.arrivalsBehind(0)).last, 2, 'they were followed');
    await store.endArrivals(NOW_US + 6);
    await store.write([a(call(NOW_US))]);
    assert.equal((await store.arrivalsBehind(0)).last, 2);
    const again = await store.followArrivals(begunUs);
    assert.ok(again > begunUs, 'notes that begin anew have another time, whatever the clock says');
    const written = a(call(NOW_US));
    await store.write([written]);
    const { ends } = await store.arrivals(1, 5);
    const [id] = idsOf([written]);
    assert.deepEqual([ends?.[0].position, ends?.[1]], [2, { position: 3, id: id!.replaceAll('-', '') }]);
  });

  test('notes are deleted up to a position, and positions go on', async () => {
    const store = await open();
    await store.noteArrivals(NOW_US);
    const a = stream(host('a'));
    await store.write([a(call(NOW_US), call(NOW_US))]);
    await store.write([a(call(NOW_US))]);
    assert.equal((await readAll(store, 0, 100)).next, 3);
    await store.forgetArrivals(3);
    assert.deepEqual(await store.arrivals(0, 10), { ...(await store.arrivals(2, 10)) });
    await store.endArrivals(Number.MAX_SAFE_INTEGER);
    await store.write([a(call(NOW_US))]);
    await store.noteArrivals(NOW_US);
    const last = a(call(NOW_US));
    await store.write([last]);
    const { calls, positions } = await store.arrivals(3, 10);
    assert.deepEqual([calls.map(({ id }) => id), positions], [idsOf([last]), [4]]);
  });
}

describe('the embedded store', () => {
  const opened: { store: Store; directory: string }[] = [];
  after(async () => {
    for (const { store, directory } of opened) {
      await store.close();
      rmSync(directory, { recursive: true });
    }
  });
  testArrivals(async () => {
    const directory = mkdtempSync(join(tmpdir(), 'imdswatch-arrivals-'));
    const store = openStore(directory);
    opened.push({ store, directory });
    return store;
  });

  test('notes are still wanted after a restart', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'imdswatch-arrivals-'));
    const before = openStore(directory);
    await before.noteArrivals(NOW_US);
    const a = stream(host('a'));
    const batches = [a(call(NOW_US)), a(call(NOW_US))];
    await before.write([batches[0]!]);
    await before.close();
    const store = openStore(directory);
    opened.push({ store, directory });
    await store.write([batches[1]!]);
    assert.deepEqual((await readAll(store, 0, 10)).ids, idsOf(batches));
  });
});

describe('the store in PostgreSQL', { skip: NO_POSTGRES }, () => {
  let server: PostgresServer;
  const opened: PostgresStore[] = [];
  before(async () => {
    server = await PostgresServer.start();
  });
  after(async () => {
    for (const store of opened) await store.close();
    await server?.close();
  });
  const open = async (url: string) => {
    const store = await PostgresStore.open(parseDatabaseUrl(url));
    opened.push(store);
    return store;
  };

  testArrivals(async () => open(await server.createDatabase()));

  /** A transaction of one of several writers, which is committed at any time. */
  type Step = { writer: number; does: 'write' | 'commit' | 'roll back' } | 'read';
  const stepMade: fc.Arbitrary<Step> = fc.oneof(
    { weight: 1, arbitrary: fc.constant('read' as const) },
    {
      weight: 3,
      arbitrary: fc.record({
        writer: fc.nat(3),
        does: fc.constantFrom('write' as const, 'write' as const, 'commit' as const, 'roll back' as const),
      }),
    },
  );

  test('transactions that commit in any order are read once each, and none is passed', async () => {
    const url = await server.createDatabase();
    const store = await open(url);
    await store.noteArrivals(NOW_US);
    await store.write([stream(host('a'))(call(NOW_US))]);
    const clients = await Promise.all(
      [0, 1, 2, 3].map(async () => {
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        return client;
      }),
    );
    let position = (await store.arrivalsBehind(0)).last;
    let made = 0;
    try {
      await fc.assert(
        fc.asyncProperty(fc.array(stepMade, { minLength: 4, maxLength: 30 }), async (steps) => {
          const open = new Map<number, string[]>();
          const committed: string[] = [];
          const read: string[] = [];
          const readNow = async () => {
            const { ids, next } = await readAll(store, position, 3);
            read.push(...ids);
            position = next;
          };
          const end = async (writer: number, how: 'COMMIT' | 'ROLLBACK') => {
            const ids = open.get(writer);
            if (ids === undefined) return;
            open.delete(writer);
            await clients[writer]!.query(how);
            if (how === 'COMMIT') committed.push(...ids);
          };
          for (const step of steps) {
            if (step === 'read') await readNow();
            else if (step.does === 'write') {
              const { writer } = step;
              if (!open.has(writer)) await clients[writer]!.query('BEGIN');
              made += 1;
              const id = `00000000-0000-7000-8000-${String(made).padStart(12, '0')}`;
              await addCopy(clients[writer]!, id, NOW_US - made);
              open.set(writer, [...(open.get(writer) ?? []), id]);
            } else await end(step.writer, step.does === 'commit' ? 'COMMIT' : 'ROLLBACK');
          }
          for (const writer of open.keys()) await end(writer, 'COMMIT');
          await readNow();
          assert.deepEqual(read.toSorted(), committed.toSorted());
        }),
        { numRuns: 60 },
      );
    } finally {
      for (const client of clients) await client.end();
    }
  });

  /** Adds a copy of a stored call with its note, as `storeCalls` does. */
  async function addCopy(client: pg.Client, id: string, timeUs: number): Promise<void> {
    const { rows } = await client.query(
      `INSERT INTO calls (time_us, id, host, identity, caller, kind, shape, user_agent, path, query, duration_ms,
         source_address, source_port)
       SELECT $1, $2, host, identity, caller, kind, shape, user_agent, path, query, duration_ms, source_address, source_port
       FROM calls ORDER BY time_us DESC LIMIT 1 RETURNING host`,
      [timeUs, id],
    );
    const session = { execute: (text: string, values: unknown[]) => client.query(text, values) };
    const key = { host: Number(rows[0].host), timeUs, id: id.replaceAll('-', '') };
    await storeArrivals(session as unknown as Session, [key], NOW_US);
  }

  test('several collectors write while two readers read: each reads everything once, in the order of each host', async () => {
    const url = await server.createDatabase();
    const stores = [await open(url), await open(url), await open(url)];
    await stores[0]!.noteArrivals(NOW_US);
    const written = new Map<string, string[]>();
    let isWriting = true;
    const write = async (store: Store, names: readonly string[]) => {
      const streams = names.map((name) => ({ name, next: stream(host(name)) }));
      for (let round = 0; round < 25; round += 1) {
        const batches = streams.map(({ name, next }) => {
          const batch = next(...[0, 1, 2].map((at) => call(NOW_US - ((round * 7919 + at) % 500) * HOUR_US)));
          written.set(name, [...(written.get(name) ?? []), ...idsOf([batch])]);
          return batch;
        });
        await Promise.all(batches.map((batch) => store.write([batch])));
      }
    };
    const read = async (store: Store) => {
      const found = new Map<string, string[]>();
      let after = 0;
      for (let isLast = false; ; ) {
        const { calls, next } = await store.arrivals(after, 11);
        for (const { id, host } of calls) {
          const name = host.id.slice(2);
          found.set(name, [...(found.get(name) ?? []), id]);
        }
        if (next === after && isLast) return found;
        isLast = next === after && !isWriting;
        after = next;
      }
    };
    const readers = [stores[0]!, stores[2]!].map(read);
    await Promise.all([
      write(stores[0]!, ['a', 'b', 'c']),
      write(stores[1]!, ['d', 'e', 'f']),
      write(stores[2]!, ['g', 'h']),
    ]);
    isWriting = false;
    for (const found of await Promise.all(readers)) {
      assert.deepEqual([...found.keys()].sort(), [...written.keys()].sort());
      for (const [name, ids] of written) assert.deepEqual(found.get(name), ids, name);
    }
  });
});
