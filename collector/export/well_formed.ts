/** Replaces halves of surrogate pairs, which are no valid UTF-8: a strict receiver refuses the whole request. */
import type { ExportItem } from './item.ts';

/** Returns the item without such halves. Calls have none: the contract's texts are cleaned when they come in. */
export function wellFormed(item: ExportItem): ExportItem {
  return item.stream === 'calls' ? item : (cleaned(item) as ExportItem);
}

function cleaned(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  if (Array.isArray(value)) return value.map(cleaned);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key.toWellFormed(), cleaned(each)]));
}
