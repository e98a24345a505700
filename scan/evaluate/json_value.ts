/** Turns JSON into values and values into JSON text. Pure. */
import { type Data, firstUnknown, isList, isMap, makeValue, type Value } from './value.ts';

const MAX_DEPTH = 64;

/** Returns the value of parsed JSON. Places are lost. */
export function fromJson(json: unknown, depth = 0): Value {
  if (depth > MAX_DEPTH) return makeValue(null);
  if (Array.isArray(json)) return makeValue(json.map((item) => fromJson(item, depth + 1)));
  if (typeof json === 'object' && json !== null)
    return makeValue(new Map(Object.entries(json).map(([key, item]) => [key, fromJson(item, depth + 1)])));
  if (typeof json === 'string' || typeof json === 'number' || typeof json === 'boolean')
    return makeValue(json);
  return makeValue(null);
}

/** Returns the JSON text of a value; unknown when a part of it is unknown. */
export function toJson(value: Value): Value {
  const inner = firstUnknown(value);
  return inner === null ? makeValue(JSON.stringify(plainOf(value.data, 0))) : makeValue(inner);
}

function plainOf(data: Data, depth: number): unknown {
  if (depth > MAX_DEPTH) return null;
  if (isList(data)) return data.map((item) => plainOf(item.data, depth + 1));
  if (isMap(data))
    return Object.fromEntries([...data].map(([key, item]) => [key, plainOf(item.data, depth + 1)]));
  return data;
}
