/**
 * The interface of a shape: the JSON that a receiver gets for a record. A shape is a pure function: it has no state, and reads
 * no clock.
 */
import type { ShapeName, StreamName } from '../contract/export.ts';
import type { ExportItem } from './item.ts';
import type { JsonObject } from './json.ts';

export interface Shape {
  readonly name: ShapeName;
  /** Streams whose records have this shape. */
  readonly streams: readonly StreamName[];
  /**
   * Returns the values for one record: one for most, several where the receiver needs one for each account and Region
   * (`asff`), and none where the record cannot have this shape. The caller counts those without a value as losses.
   */
  toValues(item: ExportItem): readonly JsonObject[];
}
