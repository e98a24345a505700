/**
 * Messages of calls between collectors, as payloads of NOTIFY. A payload must be shorter than 8,000 bytes (PostgreSQL 15
 * documentation, NOTIFY). So a message is compressed, encrypted and cut into parts. The parts of one transaction arrive
 * in their order and without others between them, so a message of any size is put together again by counting.
 *
 * A part is `1 SENDER NUMBER PART PARTS DATA`: the version of this format, the collector that sends, the number of the
 * message, the number of the part and of all parts (from 0), and base64 of the initialization vector (12 bytes), the tag
 * (16 bytes) and the text, which is JSON, compressed (RFC 1951) and encrypted (AES-256-GCM).
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, deflateRaw, inflateRawSync } from 'node:zlib';
import { deleteOldestEntries } from '../../../common/bounded_map.ts';
import type { ServedCall } from '../../contract/served_call.ts';

const compress = promisify(deflateRaw);

const VERSION = '1';
const CIPHER = 'aes-256-gcm';
const VECTOR_BYTES = 12;
const TAG_BYTES = 16;
/** Characters of the data of one part. The head before it is shorter than 100. */
const PART_CHARACTERS = 7_800;
/** Bound on the JSON of one message. */
export const MAX_MESSAGE_CHARACTERS = 1_000_000;
/** JSON of so many characters has at most three times as many bytes in UTF-8. The rest is for `leftOut`. */
const MAX_MESSAGE_BYTES = 3 * MAX_MESSAGE_CHARACTERS + 1_000_000;
/** More than any message has. Others may send notifications too, and must not fill the memory. */
const MAX_PARTS = 1_000;
const MAX_SENDERS = 100;

export interface FeedMessage {
  calls: ServedCall[];
  /** Calls that the sender left out since its last message, by the key of a filter that they match. */
  leftOut: [key: string, calls: number][];
}

/** Packs JSON texts of calls into the parts of one message. */
export async function packMessage(
  key: Buffer,
  {
    sender,
    number,
    calls,
    leftOut,
  }: { sender: string; number: number; calls: readonly string[] } & Pick<FeedMessage, 'leftOut'>,
): Promise<string[]> {
  const text = `{"calls":[${calls.join(',')}],"leftOut":${JSON.stringify(leftOut)}}`;
  const packed = await compress(text, { level: constants.Z_BEST_SPEED });
  const vector = randomBytes(VECTOR_BYTES);
  const cipher = createCipheriv(CIPHER, key, vector, { authTagLength: TAG_BYTES });
  const encrypted = [cipher.update(packed), cipher.final()];
  const data = Buffer.concat([vector, cipher.getAuthTag(), ...encrypted]).toString('base64');
  const parts = Math.ceil(data.length / PART_CHARACTERS);
  return Array.from({ length: parts }, (_, part) => {
    const from = part * PART_CHARACTERS;
    return [VERSION, sender, number, part, parts, data.slice(from, from + PART_CHARACTERS)].join(' ');
  });
}

/** Puts messages together from their parts. */
export class MessageReader {
  readonly #key: Buffer;
  readonly #sender: string;
  /** For each sender the message whose parts arrive, or the last whole one, which has no parts any more. */
  readonly #senders = new Map<string, { number: number; parts: string[] }>();
  #missed = 0;

  /** `sender`: this collector, whose own messages it ignores. */
  constructor(key: Buffer, sender: string) {
    this.#key = key;
    this.#sender = sender;
  }

  /** Number of messages that did not arrive whole, or cannot be read. */
  get missed(): number {
    return this.#missed;
  }

  /** Returns the message that ends with this part; null where there is none. */
  take(payload: string): FeedMessage | null {
    const [version, sender = '', ...rest] = payload.split(' ');
    const [number, part, parts] = rest.map(Number);
    const data = rest[3];
    if (sender === this.#sender) return null;
    if (version !== VERSION || data === undefined || !(parts! <= MAX_PARTS)) return this.#miss();
    const known = this.#senders.get(sender);
    const isNext = known !== undefined && number === known.number && part === known.parts.length;
    if (!isNext && part !== 0) return this.#miss();
    if (!isNext && known !== undefined) {
      const incomplete = known.parts.length > 0 ? 1 : 0;
      this.#missed += incomplete + Math.max(0, number! - known.number - 1);
    }
    const collected = isNext ? known : { number: number!, parts: [] };
    this.#senders.delete(sender);
    this.#senders.set(sender, collected);
    deleteOldestEntries(this.#senders, MAX_SENDERS);
    collected.parts.push(data);
    if (collected.parts.length < parts!) return null;
    const whole = collected.parts.join('');
    collected.parts = [];
    try {
      return this.#open(whole);
    } catch {
      // Somebody else's notification, or one of a release whose messages are others.
      return this.#miss();
    }
  }

  /** Forgets all senders, whose messages did not arrive for a while because nobody watched. */
  forget(): void {
    this.#senders.clear();
  }

  #miss(): null {
    this.#missed += 1;
    return null;
  }

  #open(data: string): FeedMessage {
    const bytes = Buffer.from(data, 'base64');
    const text = VECTOR_BYTES + TAG_BYTES;
    const decipher = createDecipheriv(CIPHER, this.#key, bytes.subarray(0, VECTOR_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAuthTag(bytes.subarray(VECTOR_BYTES, text));
    const packed = Buffer.concat([decipher.update(bytes.subarray(text)), decipher.final()]);
    const json = inflateRawSync(packed, { maxOutputLength: MAX_MESSAGE_BYTES }).toString('utf8');
    return JSON.parse(json) as FeedMessage;
  }
}
