/** Makes the values that the templates of streams see, and the id by which a receiver recognises a record. */
import type { ExportItem } from '../../export/item.ts';
import type { JsonObject } from '../../export/json.ts';
import { toMicroseconds } from '../../store/time.ts';

/** The id of a record, which is the same at every attempt. */
export function idOfItem(item: ExportItem): string {
  switch (item.stream) {
    case 'calls':
      return item.call.id;
    case 'findings':
      return item.finding.id;
    case 'audit':
      return String(item.entry.id);
    case 'alerts':
      return item.alert.id;
  }
}

/** The name of what the record is about. */
function sourceOf(item: ExportItem): string {
  switch (item.stream) {
    case 'calls':
      return item.call.host.name;
    case 'findings':
      return item.finding.type === 'offender' ? item.finding.offender.title : item.finding.host.name;
    case 'audit':
      return 'imdswatch';
    case 'alerts':
      return item.alert.object?.name ?? 'imdswatch';
  }
}

function recordOf(item: ExportItem): unknown {
  switch (item.stream) {
    case 'calls':
      return item.call;
    case 'findings':
      return item.finding;
    case 'audit':
      return item.entry;
    case 'alerts':
      return item.alert;
  }
}

export function timeOfItem(item: ExportItem): string {
  switch (item.stream) {
    case 'calls':
      return item.call.time;
    case 'findings':
      return item.finding.time;
    case 'audit':
      return item.entry.time;
    case 'alerts':
      return item.alert.time;
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
  const time = timeOfItem(item);
  const us = toMicroseconds(time);
  return {
    stream: item.stream,
    id: idOfItem(item),
    time,
    seconds: us / 1e6,
    milliseconds: Math.floor(us / 1000),
    source: sourceOf(item),
    record: recordOf(item),
    shape,
    values,
  };
}
