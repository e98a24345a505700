/**
 * Selects the records of a batch that are valid and about the agent's own host, in the store's shape. The
 * rest is counted.
 */
import type * as z from 'zod';
import type { Call } from '../../protocol/call.ts';
import type { Rollup, record, referringRecord } from '../../protocol/records.ts';
import { textsChanged } from '../../protocol/text_bounds.ts';
import type { StoredBatch, StoredRecord } from '../store/store.ts';
import type { CallerFacts } from '../store/workload_identity.ts';
import type { CallerTable } from './caller_table.ts';

export interface CheckedBatch extends Pick<StoredBatch, 'callers' | 'records'> {
  /** Records that are not valid, from an agent of another version or a broken one. */
  invalid: number;
  /** Records that speak for another host than the one that said hello. */
  foreign: number;
  /** Field and kind of the first error. The value is left out: it may be anything. */
  fault: { path: string; code: string } | null;
}

type Parsed<S extends z.ZodType> = ReturnType<S['safeParse']>;
export type ParsedRecord = Parsed<typeof record>;
export type ParsedReferringRecord = Parsed<typeof referringRecord>;

/** Records that are checked at once, in some 2 ms; other connections have their turn after them. */
export const CHECKED_AT_ONCE = 100;

/** Checks each item of a batch. `counters` counts texts that were cut. */
export function parseItems<S extends z.ZodType>(
  items: readonly unknown[],
  shape: S,
  counters: { cut_texts: number },
): Parsed<S>[] {
  const changedBefore = textsChanged();
  const parsed = items.map((item) => shape.safeParse(item) as Parsed<S>);
  counters.cut_texts += textsChanged() - changedBefore;
  return parsed;
}

/** Does the same, and lets other connections have their turn in between. */
export async function parseInTurns<S extends z.ZodType>(
  items: readonly unknown[],
  shape: S,
  counters: { cut_texts: number },
): Promise<Parsed<S>[]> {
  const parsed: Parsed<S>[] = [];
  for (let at = 0; at < items.length; at += CHECKED_AT_ONCE) {
    if (at > 0) await new Promise((resolve) => setImmediate(resolve));
    parsed.push(...parseItems(items.slice(at, at + CHECKED_AT_ONCE), shape, counters));
  }
  return parsed;
}

/**
 * Selects records of protocol 2, each of which refers to a caller that the connection has defined. Returns
 * null where one refers to a caller that was never defined: the tables of agent and collector differ, and the
 * connection must begin anew.
 */
export function checkReferringRecords(
  items: ParsedReferringRecord[],
  hostId: string,
  table: CallerTable,
): CheckedBatch | null {
  const checked: CheckedBatch = { callers: [], records: [], invalid: 0, foreign: 0, fault: null };
  const indexOf = new Map<number, number>();
  for (const parsed of items) {
    if (!parsed.success) {
      countInvalid(checked, parsed.error);
      continue;
    }
    const { data } = parsed;
    if (data.kind === 'coverage') {
      if (data.coverage.host_id === hostId) checked.records.push(data);
      else checked.foreign += 1;
      continue;
    }
    let caller = indexOf.get(data.caller);
    if (caller === undefined) {
      const facts = table.get(data.caller);
      if (facts === undefined) return null;
      if (facts === null) {
        checked.invalid += 1;
        checked.fault ??= { path: 'caller', code: 'invalid_definition' };
        continue;
      }
      caller = checked.callers.push(facts) - 1;
      indexOf.set(data.caller, caller);
    }
    data.caller = caller;
    checked.records.push(data);
  }
  return checked;
}

function countInvalid(checked: CheckedBatch, { issues }: z.ZodError): void {
  checked.invalid += 1;
  const { path, code } = issues[0]!;
  checked.fault ??= { path: path.join('.'), code };
}

/** Selects records of protocol 1, each of which describes its caller and host in full. */
export function checkFullRecords(items: ParsedRecord[], hostId: string): CheckedBatch {
  const checked: CheckedBatch = { callers: [], records: [], invalid: 0, foreign: 0, fault: null };
  const known = new Map<string, number>();
  const callerIndex = (caller: CallerFacts): number => {
    const key = JSON.stringify(caller);
    let index = known.get(key);
    if (index === undefined) {
      index = checked.callers.push(caller) - 1;
      known.set(key, index);
    }
    return index;
  };
  for (const parsed of items) {
    if (!parsed.success) {
      countInvalid(checked, parsed.error);
      continue;
    }
    const { data } = parsed;
    let stored: StoredRecord;
    let speaksFor: string;
    if (data.kind === 'call') {
      const { caller, host, body } = split(data.call);
      speaksFor = host.id;
      stored = { kind: 'call', caller: callerIndex(caller), call: body };
    } else if (data.kind === 'rollup') {
      const { caller, host, body } = split(data.rollup);
      speaksFor = host.id;
      stored = { kind: 'rollup', caller: callerIndex(caller), rollup: body };
    } else {
      speaksFor = data.coverage.host_id;
      stored = data;
    }
    if (speaksFor === hostId) checked.records.push(stored);
    else checked.foreign += 1;
  }
  return checked;
}

function split<T extends Call | Rollup>(finding: T) {
  const {
    process,
    container,
    k8s,
    systemd,
    'attribution.method': method,
    'attribution.confidence': confidence,
    host,
    ...body
  } = finding;
  const caller: CallerFacts = {
    process,
    container,
    k8s,
    systemd,
    'attribution.method': method,
    'attribution.confidence': confidence,
  };
  return { caller, host, body };
}
