/**
 * Implements the part of Protocol Buffers' wire format (protobuf.dev, "Encoding") that CRI needs: varints, and everything that has a
 * length. The lab speaks it by itself, so that what it finds does not come from the code that it tests.
 */

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

/** Fields by their number. An array is a repeated field; a Map is `map<string, string>`; undefined is left out. */
export interface Message {
  [field: number]:
    | string
    | number
    | boolean
    | Message
    | readonly (string | Message)[]
    | Map<string, string>
    | undefined;
}

export function encode(message: Message): Buffer {
  const parts: Buffer[] = [];
  for (const [key, value] of Object.entries(message)) {
    const field = Number(key);
    if (value === undefined) continue;
    if (typeof value === 'number' || typeof value === 'boolean') {
      parts.push(varint((field << 3) | VARINT), varint(Number(value)));
    } else if (value instanceof Map) {
      for (const [name, text] of value) parts.push(withLength(field, encode({ 1: name, 2: text })));
    } else {
      for (const one of Array.isArray(value) ? value : [value]) {
        parts.push(withLength(field, typeof one === 'string' ? Buffer.from(one) : encode(one)));
      }
    }
  }
  return Buffer.concat(parts);
}

function withLength(field: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((field << 3) | LENGTH), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 128);
  }
}

/** The first value of each field that is a number below 2^53 or has a length. Throws RangeError on cut bytes. */
export function decode(bytes: Buffer): Map<number, number | Buffer> {
  const fields = new Map<number, number | Buffer>();
  let at = 0;
  const take = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes.readUInt8(at++);
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const keep = (field: number, value: number | Buffer) => {
    if (!fields.has(field)) fields.set(field, value);
  };
  while (at < bytes.length) {
    const key = take();
    const [field, type] = [key >>> 3, key & 7];
    if (type === VARINT) keep(field, take());
    else if (type === LENGTH) {
      const length = take();
      if (at + length > bytes.length) throw new RangeError('a field is longer than its message');
      keep(field, bytes.subarray(at, at + length));
      at += length;
    } else if (type === FIXED64) at += 8;
    else if (type === FIXED32) at += 4;
    else throw new RangeError(`wire type ${type}`);
  }
  return fields;
}
