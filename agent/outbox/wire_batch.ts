/**
 * Batches as frames (protocol/frames.ts). The spool holds records as protocol 1 sends them. From protocol 2
 * on a caller is taken out of the record's text and sent once per connection. The text is cut and not parsed:
 * in JSON the bytes of `,"process":` cannot be part of a string (RFC 8259 section 7: a quotation mark within
 * a string is escaped).
 */
import type { Call, CallerFacts, HostFacts } from '../../protocol/call.ts';
import { MAX_CALLERS_BYTES } from '../../protocol/frames.ts';
import type { Rollup, WireRecord } from '../../protocol/records.ts';
import type { Batch } from './batches.ts';

/**
 * Returns a record's text for the spool: first the fields of the call, then those of the caller, and the host
 * last.
 */
export function recordText(record: WireRecord): string {
  switch (record.kind) {
    case 'call':
      return `{"kind":"call","call":${findingText(record.call)}}`;
    case 'rollup':
      return `{"kind":"rollup","rollup":${findingText(record.rollup)}}`;
    case 'coverage':
      return JSON.stringify(record);
  }
}

/** `JSON.stringify` leaves out what is undefined. */
const NO_CALLER = {
  process: undefined,
  container: undefined,
  k8s: undefined,
  systemd: undefined,
  'attribution.method': undefined,
  'attribution.confidence': undefined,
  host: undefined,
};

function findingText(finding: Call | Rollup): string {
  const body = JSON.stringify({ ...finding, ...NO_CALLER });
  return `${body.slice(0, -1)},${callerText(finding)},"host":${hostText(finding.host)}}`;
}

function callerText(finding: Call | Rollup): string {
  const { process, container, k8s, systemd } = finding;
  const caller: CallerFacts = {
    process,
    container,
    k8s,
    systemd,
    'attribution.method': finding['attribution.method'],
    'attribution.confidence': finding['attribution.confidence'],
  };
  return JSON.stringify(caller).slice(1, -1);
}

let writtenHost: { host: HostFacts; text: string } | null = null;
function hostText(host: HostFacts): string {
  if (writtenHost?.host !== host) writtenHost = { host, text: JSON.stringify(host) };
  return writtenHost.text;
}

/** Values that collectors before protocol 3 refuse, and what they get in place of them. */
const NEWER_VALUES: readonly [newer: string, older: string][] = [
  ['"imds.category":"other-cloud"', '"imds.category":"other"'],
  ['"imds.fallback":"adapted"', '"imds.fallback":null'],
];

/** Returns a batch whose records have no values that a collector before protocol 3 refuses. */
export function withoutNewerValues(batch: Batch): Batch {
  return { ...batch, records: batch.records.map(olderRecord) };
}

function olderRecord(record: Buffer): Buffer {
  if (!NEWER_VALUES.some(([newer]) => record.includes(newer))) return record;
  const text = record.toString('latin1');
  return Buffer.from(
    NEWER_VALUES.reduce((rest, [newer, older]) => rest.replaceAll(newer, older), text),
    'latin1',
  );
}

/** Returns a batch in protocol 1, with the records as they are in the spool. */
export function fullBatchFrame({ seq, records }: Batch): Buffer {
  const parts: Buffer[] = [Buffer.from(`{"type":"batch","seq":${seq},"records":[`)];
  records.forEach((record, index) => {
    if (index > 0) parts.push(COMMA);
    parts.push(record);
  });
  parts.push(END);
  return Buffer.concat(parts);
}
const COMMA = Buffer.from(',');
const END = Buffer.from(']}');
const BRACES_BYTES = 2;

/** The callers that one connection has sent, and its batches in protocol 2. */
export class CallerReferences {
  #refs = new Map<string, number>();
  #bytes = 0;

  batchFrame({ seq, records }: Batch): Buffer {
    const cut = records.map(cutRecord);
    const fresh = new Set<string>();
    let freshBytes = 0;
    for (const { caller } of cut) {
      if (caller === null || this.#refs.has(caller) || fresh.has(caller)) continue;
      fresh.add(caller);
      freshBytes += caller.length + BRACES_BYTES;
    }
    const forget = this.#refs.size > 0 && this.#bytes + freshBytes > MAX_CALLERS_BYTES;
    if (forget) {
      this.#refs.clear();
      this.#bytes = 0;
    }
    const callers: string[] = [];
    const recordTexts: string[] = [];
    for (const { caller, kind, rest } of cut) {
      if (caller === null) {
        recordTexts.push(rest);
        continue;
      }
      let ref = this.#refs.get(caller);
      if (ref === undefined) {
        ref = this.#refs.size;
        this.#refs.set(caller, ref);
        this.#bytes += caller.length + BRACES_BYTES;
        callers.push(`{"ref":${ref},${caller}}`);
      }
      recordTexts.push(`{"kind":"${kind}","caller":${ref},"${kind}":${rest}}`);
    }
    const definitions = callers.length === 0 ? '' : `"callers":[${callers.join(',')}],`;
    return Buffer.from(
      `{"type":"batch","seq":${seq},${forget ? '"forget":true,' : ''}${definitions}"records":[${recordTexts.join(',')}]}`,
      'latin1',
    );
  }
}

/** Texts are UTF-8 bytes read as Latin-1, one character a byte: nothing is decoded, and lengths are bytes. */
interface CutRecord {
  kind: 'call' | 'rollup' | null;
  /** The caller's keys and values, without braces. Null: a record without one, which goes as it is. */
  caller: string | null;
  rest: string;
}

/** Fields of a caller in the order in which `recordText` writes them. */
const CALLER_MARKS = [
  ',"process":',
  ',"container":',
  ',"k8s":',
  ',"systemd":',
  ',"attribution.method":',
  ',"attribution.confidence":',
  ',"host":',
];

function cutRecord(payload: Buffer): CutRecord {
  const text = payload.toString('latin1');
  return cutText(text) ?? cutRewritten(payload) ?? { kind: null, caller: null, rest: text };
}

/** Returns null if the text is not in the form of `recordText`. */
function cutText(text: string): CutRecord | null {
  let kind: 'call' | 'rollup';
  if (text.startsWith('{"kind":"call","call":{')) kind = 'call';
  else if (text.startsWith('{"kind":"rollup","rollup":{')) kind = 'rollup';
  else return { kind: null, caller: null, rest: text };
  let at = 0;
  let start = -1;
  for (const mark of CALLER_MARKS) {
    at = text.indexOf(mark, at);
    if (at === -1) return null;
    if (start === -1) start = at;
  }
  if (!isLastObject(text, at + ',"host":'.length)) return null;
  return {
    kind,
    caller: text.slice(start + 1, at),
    rest: `${text.slice(`{"kind":"${kind}","${kind}":`.length, start)}}`,
  };
}

/**
 * The last host that was parsed. It is the same in nearly all records of a spool, so it is parsed only when
 * it changes.
 */
let lastObject = '';
/** Returns true if nothing follows the host, which begins at `from`. */
function isLastObject(text: string, from: number): boolean {
  if (text.length - from === lastObject.length && text.endsWith(lastObject)) return true;
  const tail = text.slice(from);
  if (!tail.endsWith('}}')) return false;
  try {
    JSON.parse(tail.slice(0, -2));
  } catch {
    return false;
  }
  lastObject = tail;
  return true;
}

/** Cuts a record of an older release, which has its fields in another order. */
function cutRewritten(payload: Buffer): CutRecord | null {
  try {
    const record = JSON.parse(payload.toString('utf8')) as WireRecord;
    return cutText(Buffer.from(recordText(record)).toString('latin1'));
  } catch {
    return null; // sent as it is: the collector counts what it refuses
  }
}
