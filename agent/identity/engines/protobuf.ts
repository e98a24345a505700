/**
 * The part of the protobuf wire format that the few messages of the container runtime interface need
 * (protobuf.dev, "Encoding"). A library that reads schemas would take 9 MB of resident memory for them.
 */

/** One field of a message, as it was sent: its number and its bytes; a number's bytes are not kept. */
interface Field {
  number: number;
  bytes: Uint8Array | null;
}

const WIRE_VARINT = 0;
const WIRE_FIXED64 = 1;
const WIRE_BYTES = 2;
const WIRE_FIXED32 = 5;
const MAX_VARINT_BYTES = 10;

const utf8 = new TextDecoder();

/** A message that is read field by field. Every reader throws `Error` where the bytes are not a message. */
export class Message {
  readonly #fields: Field[];

  constructor(bytes: Uint8Array) {
    this.#fields = fieldsOf(bytes);
  }

  /** The last one wins, as the format asks; empty when it was not sent, as in proto3. */
  string(number: number): string {
    const bytes = this.#fields.findLast((field) => field.number === number)?.bytes;
    return bytes ? utf8.decode(bytes) : '';
  }

  /** An empty message when it was not sent. */
  message(number: number): Message {
    return new Message(this.#fields.findLast((field) => field.number === number)?.bytes ?? new Uint8Array());
  }

  messages(number: number): Message[] {
    return this.#fields.flatMap((field) =>
      field.number === number && field.bytes ? [new Message(field.bytes)] : [],
    );
  }

  /** map<string, string>: entries are messages with the key as field 1 and the value as field 2. */
  strings(number: number): Record<string, string> {
    const map: Record<string, string> = Object.create(null);
    for (const entry of this.messages(number)) map[entry.string(1)] = entry.string(2);
    return map;
  }
}

function fieldsOf(bytes: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let count = 0; count < MAX_VARINT_BYTES; count++) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * 2 ** (7 * count);
      if (byte < 0x80) return value;
    }
    throw new Error('a number in a message does not end');
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    let content: Uint8Array | null = null;
    switch (tag % 8) {
      case WIRE_VARINT:
        varint();
        break;
      case WIRE_FIXED64:
        at += 8;
        break;
      case WIRE_FIXED32:
        at += 4;
        break;
      case WIRE_BYTES: {
        const length = varint();
        content = bytes.subarray(at, at + length);
        at += length;
        break;
      }
      default:
        throw new Error(`a message has a field of unknown kind ${tag % 8}`);
    }
    if (at > bytes.length) throw new Error('a message is cut short');
    fields.push({ number, bytes: content });
  }
  return fields;
}

/** A field that holds text or another message. Text that is empty is not sent, as in proto3. */
export function field(number: number, content: string | Uint8Array): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
  if (typeof content === 'string' && bytes.length === 0) return Buffer.alloc(0);
  return Buffer.concat([encodeVarint(number * 8 + WIRE_BYTES), encodeVarint(bytes.length), bytes]);
}

/** A map<string, string>. */
export function mapField(number: number, map: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(map).map(([key, value]) => field(number, Buffer.concat([field(1, key), field(2, value)]))),
  );
}

function encodeVarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}
