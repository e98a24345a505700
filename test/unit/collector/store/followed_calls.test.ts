/** Readers that keep their positions themselves get every stored call once, or its loss is counted. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as fc from 'fast-check';
import {
  type FollowCursor,
  FollowedCalls,
  followCursorText,
  LostPlaceError,
  parseFollowCursor,
} from '../../../../collector/store/followed_calls.ts';
import { backUpAll, restoreAll } from '../../../../collector/store/sqlite/backup.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import type { Store } from '../../../../collector/store/store.ts';
import { CallSource } from '../../../../collector/stream/call_source.ts';
import { call, host, stream } from '../../../support/collector/store/records.ts';

const DAY_US = 86_400_000_000;
const RAW_DAYS = 3;
const RETAINED = { rawDays: RAW_DAYS, rollupDays: 400, maxBytes: 1e12 };
const OFFENDER = '0123456789abcdef';
/** Far more than a page of these tests has, but for the test of long calls. */
const MAX_CHARACTERS = 40_000;

const directories: string[] = [];
const opened = new Set<Store>();
after(async () => {
  for (const store of opened) await store.close();
  for (const each of directories) rmSync(each, { recursive: true });
});
function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-followed-'));
  directories.push(directory);
  return directory;
}

/** A store with one host, on a clock that the test sets. */
class Followed {
  // The store has a clock of its own, and dates calls that are ahead of it.
  nowUs = Date.now() * 1000 - 60 * DAY_US;
  readonly directory: string;
  readonly next = stream(host('a'));
  readonly written: string[] = [];
  store!: Store;
  calls!: FollowedCalls;
  #source!: CallSource;

  constructor(directory = newDirectory()) {
    this.directory = directory;
    this.open();
  }

  open(): void {
    this.store = openStore(this.directory);
    opened.add(this.store);
    const nowUs = () => this.nowUs;
    this.calls = new FollowedCalls(this.store, () => OFFENDER, { nowUs, maxCharacters: MAX_CHARACTERS });
    const sinceUs = async () => this.nowUs - RAW_DAYS * DAY_US;
    this.#source = new CallSource(this.store, () => OFFENDER, sinceUs, nowUs);
  }

  async close(): Promise<void> {
    opened.delete(this.store);
    await this.store.close();
  }

  /** Stores calls that are so many days old. */
  async write(...days: number[]): Promise<string[]> {
    const calls = days.map((each) => call(Math.round(this.nowUs - each * DAY_US)));
    await this.store.write([this.next(...calls)]);
    const ids = calls.flatMap((each) => (each.kind === 'call' ? [each.call.id] : []));
    this.written.push(...ids);
    return ids;
  }

  /** Deletes old calls, and notes that nobody needs, as a collector without destinations does. */
  async retain(): Promise<void> {
    await this.store.retain(RETAINED, this.nowUs);
    await this.#source.passed(Number.MAX_SAFE_INTEGER);
    await this.#source.end();
  }

  /** Reads to the end. */
  async readAll(from: FollowCursor, limit = 3) {
    const ids: string[] = [];
    let [at, deleted] = [from, 0];
    for (;;) {
      const page = await this.calls.page(at, limit);
      assert.ok(page.calls.length <= limit);
      ids.push(...page.calls.map(({ id }) => id));
      deleted += page.deleted;
      if (page.next.position === at.position) return { ids, deleted, next: at, waiting: page.waiting };
      at = parseFollowCursor(followCursorText(page.next))!;
    }
  }
}

test('calls come in the order of their arrival, and waiting ones are counted', async () => {
  const beganMs = Date.now();
  const followed = new Followed();
  await followed.write(0, 1);
  const { next: start } = await followed.calls.begin();
  const first = await followed.write(2, 0, 1);
  const second = await followed.write(1.5);
  const page = await followed.calls.page(start, 2);
  assert.deepEqual(
    page.calls.map(({ id, offender }) => [id, offender]),
    first.slice(0, 2).map((id) => [id, OFFENDER]),
  );
  assert.equal(page.waiting, 2);
  // The store has the kernel's clock.
  for (const { stored } of page.calls) {
    assert.match(stored, /^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z$/);
    assert.ok(Date.parse(stored) >= beganMs - 1000 && Date.parse(stored) <= Date.now() + 1000, stored);
  }
  const rest = await followed.readAll(page.next);
  assert.deepEqual([rest.ids, rest.deleted, rest.waiting], [[first[2], ...second], 0, 0]);
});

test('a page with long calls has fewer of them, and the next one goes on', async () => {
  const followed = new Followed();
  const { next: start } = await followed.calls.begin();
  const path = `/${'x'.repeat(3900)}`;
  const calls = Array.from({ length: 20 }, () => call(followed.nowUs, { 'url.path': path }));
  await followed.store.write([followed.next(...calls)]);
  const page = await followed.calls.page(start, 20);
  assert.ok(page.calls.length >= 4 && page.calls.length < 10, `${page.calls.length}`);
  assert.deepEqual([page.deleted, page.waiting], [0, 20 - page.calls.length]);
  const rest = await followed.readAll(page.next, 20);
  assert.equal(new Set([...page.calls.map(({ id }) => id), ...rest.ids]).size, 20);
});

test('a reader that was away for less than the retention loses nothing, and later the loss is counted', async () => {
  const followed = new Followed();
  const { next: start } = await followed.calls.begin();
  await followed.write(0, 0);
  followed.nowUs += 2.9 * DAY_US;
  await followed.retain();
  const late = await followed.write(0, 0);
  assert.deepEqual((await followed.readAll(start)).ids, followed.written);
  followed.nowUs += DAY_US;
  await followed.retain();
  const { ids, deleted } = await followed.readAll(start);
  assert.deepEqual([ids, deleted], [late, 2]);
});

test('a place is lost when nobody read for as long as calls are kept', async () => {
  const followed = new Followed();
  const { next: start } = await followed.calls.begin();
  await followed.write(0);
  followed.nowUs += 3.1 * DAY_US;
  await followed.retain();
  await followed.write(0);
  await assert.rejects(followed.calls.page(start, 10), (error) => {
    assert.ok(error instanceof LostPlaceError);
    assert.match(
      error.message,
      /^The order of arrival has been noted since \d{4}-.*Z, and the position is of/,
    );
    return true;
  });
  const { next } = await followed.calls.begin();
  const [id] = await followed.write(0);
  assert.deepEqual((await followed.readAll(next)).ids, [id]);
});

test('a place after a restored backup is lost, also where as many other calls have come since', async () => {
  const followed = new Followed();
  const { next: start } = await followed.calls.begin();
  await followed.write(0, 0);
  await followed.close();
  const backup = join(newDirectory(), 'backup');
  await backUpAll(followed.directory, backup);
  followed.open();
  await followed.write(0, 0);
  const { next: ahead } = await followed.readAll(start);
  assert.equal(ahead.position, 4);
  await followed.close();
  const restored = newDirectory();
  rmSync(restored, { recursive: true });
  restoreAll(backup, restored, new Date());
  const later = new Followed(restored);
  later.nowUs += 60_000_000;
  await assert.rejects(later.calls.page(ahead, 10), LostPlaceError);
  await later.write(0, 0, 0);
  await assert.rejects(later.calls.page(ahead, 10), LostPlaceError);
  assert.equal((await later.readAll(start)).ids.length, 5, 'an earlier place is still the same');
  await later.close();
});

test('any readers and retention: each call is read once, or counted as deleted', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          {
            weight: 4,
            arbitrary: fc.record({
              write: fc.array(fc.double({ min: 0, max: 4, noNaN: true }), { minLength: 1, maxLength: 4 }),
            }),
          },
          {
            weight: 4,
            arbitrary: fc.record({ read: fc.nat(1), limit: fc.integer({ min: 1, max: 5 }) }),
          },
          { weight: 2, arbitrary: fc.record({ days: fc.double({ min: 0, max: 2, noNaN: true }) }) },
          { weight: 1, arbitrary: fc.constant('restart' as const) },
        ),
        { maxLength: 25 },
      ),
      async (steps) => {
        const followed = new Followed();
        await followed.write(0);
        const { next } = await followed.calls.begin();
        const readers = [0, 1].map(() => ({ at: next, read: new Set<string>(), deleted: 0 }));
        const read = async (reader: (typeof readers)[number], limit: number) => {
          const page = await followed.calls.page(reader.at, limit);
          for (const { id } of page.calls) {
            assert.ok(!reader.read.has(id), 'nothing comes twice');
            reader.read.add(id);
          }
          reader.deleted += page.deleted;
          reader.at = page.next;
          return page;
        };
        let written = 0;
        for (const step of steps) {
          if (step === 'restart') {
            await followed.close();
            followed.open();
          } else if ('write' in step) written += (await followed.write(...step.write)).length;
          else if ('days' in step) {
            followed.nowUs += Math.round(step.days * DAY_US);
            // Somebody follows all the time.
            await followed.calls.begin();
            await followed.retain();
          } else await read(readers[step.read]!, step.limit);
        }
        for (const reader of readers) {
          for (let at = -1; at !== reader.at.position; ) {
            at = reader.at.position;
            await read(reader, 4);
          }
          assert.equal(reader.read.size + reader.deleted, written);
        }
        await followed.close();
      },
    ),
    { numRuns: 12 },
  ));
