/** Makes the values that the templates of streams see, and the id by which a receiver recognises a record. */
import type { ExportItem } from '../../export/item.ts';
import type { JsonObject } from '../../export/json.ts';
import { toMicroseconds } from '../../store/time.ts';

export interface RecordFacts {
  /** The same at every attempt. */
  id: string;
  time: string;
  /** The name of what the record is about. */
  source: string;
  record: unknown;
}

export function factsOf(item: ExportItem): RecordFacts {
  switch (item.stream) {
    case 'calls': {
      const { call } = item;
      return { id: call.id, time: call.time, source: call.host.name, record: call };
    }
    case 'findings': {
      const { finding } = item;
      const source = finding.type === 'offender' ? finding.offender.title : finding.host.name;
      return { id: finding.id, time: finding.time, source, record: finding };
    }
    case 'audit': {
      const { entry } = item;
      return { id: String(entry.id), time: entry.time, source: 'imdswatch', record: entry };
    }
    case 'alerts': {
      const { alert } = item;
      return { id: alert.id, time: alert.time, source: alert.object?.name ?? 'imdswatch', record: alert };
    }
  }
}

/**
 * `record`: the record as docs/events.md describes it. `shape`: the record in its shape. `source`: the name of what it is
 * about. `values`: the destination's own values.
 */
export function recordValues(
  item: ExportItem,
  shape: JsonObject,
  values: Readonly<Record<string, string | null>>,
): Record<string, unknown> {
  const facts = factsOf(item);
  const us = toMicroseconds(facts.time);
  return {
    ...facts,
    stream: item.stream,
    seconds: us / 1e6,
    milliseconds: Math.floor(us / 1000),
    shape,
    values,
  };
}
