/** Puts the bodies of records together to the body of one request. */
import type { Batch } from '../../contract/http_request.ts';

const NDJSON = 'application/x-ndjson; charset=utf-8';
const PROTOBUF = 'application/x-protobuf';
const JSON_TYPE = 'application/json; charset=utf-8';

/** Bytes that a batch adds to a record at most: a separator, and its share of the frame. */
const FRAME_BYTES = 2;

/** Returns how many of the first records fit into one request; at least one. */
export function fitting(records: readonly Buffer[], { form, max_items, max_bytes }: Batch): number {
  if (form === 'single') return 1;
  let bytes = 0;
  let count = 0;
  for (const record of records.slice(0, max_items)) {
    bytes += record.length + FRAME_BYTES;
    if (count > 0 && bytes > max_bytes) break;
    count += 1;
  }
  return count;
}

export function batchBody(records: readonly Buffer[], { form, key }: Batch): Buffer {
  const [first = Buffer.alloc(0)] = records;
  switch (form) {
    case 'single':
      return first;
    case 'array':
      return Buffer.from(`[${records.join(',')}]`);
    case 'wrapped':
      return Buffer.from(`{${JSON.stringify(key)}:[${records.join(',')}]}`);
    case 'lines':
      return Buffer.from(records.map((record) => `${record}\n`).join(''));
    case 'concatenated':
      return Buffer.concat(records);
    case 'otlp_protobuf':
    case 'otlp_json':
      throw new Error('A message of OTLP is not put together from texts.');
  }
}

export function contentType({ form }: Batch): string {
  // OTLP/HTTP names the types without parameters (opentelemetry-proto, `docs/specification.md`).
  if (form === 'otlp_protobuf') return PROTOBUF;
  if (form === 'otlp_json') return 'application/json';
  return form === 'lines' ? NDJSON : JSON_TYPE;
}
