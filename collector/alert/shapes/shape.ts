/** The interface of a shape: the JSON that a destination gets for a record, before its body template. */
import type { BodyTree, RequestDefinition } from '../../contract/http_request.ts';
import { nativeShape } from './native.ts';
import type { StreamRecord } from './stream_record.ts';

export type Shape = (record: StreamRecord) => BodyTree;

const SHAPES: Record<NonNullable<RequestDefinition['shape']>, Shape> = { native: nativeShape };

export function shapeOf(name: NonNullable<RequestDefinition['shape']>): Shape {
  return SHAPES[name];
}
