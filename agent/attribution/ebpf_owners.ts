/**
 * Owners' records that the kernel writes again and again: a process that lives on brings the same bytes with each of
 * its connections, but for the socket's address. Each is kept and read once.
 */
import { OWNER_LAYOUT } from './ebpf_records.ts';

const MAX_RECORDS = 64;
/** Longer ones are long command lines and deep chains of parents: rare, and not worth their keys. */
const MAX_RECORD_BYTES = 4_096;

export class OwnerRecords<Owner extends object> {
  /** Least recently used first. */
  readonly #records = new Map<string, Buffer>();
  readonly #owners = new WeakMap<Buffer, Owner>();

  /** A lasting copy of a record: the same one for each that differs in the socket's address only. */
  internRecord(bytes: Buffer): Buffer {
    if (bytes.length > MAX_RECORD_BYTES) return copyOf(bytes);
    const { socket, start_boottime_ns: behindSocket } = OWNER_LAYOUT;
    const key = bytes.toString('latin1', 0, socket) + bytes.toString('latin1', behindSocket);
    const known = this.#records.get(key);
    if (known !== undefined) {
      this.#records.delete(key);
      this.#records.set(key, known);
      return known;
    }
    const record = copyOf(bytes);
    this.#records.set(key, record);
    if (this.#records.size > MAX_RECORDS) this.#records.delete(this.#records.keys().next().value!);
    return record;
  }

  /** What was read from a lasting record before. */
  rememberedOwner(record: Buffer): Owner | undefined {
    return this.#owners.get(record);
  }

  /** Nothing of it may change any more. */
  rememberOwner(record: Buffer, owner: Owner): void {
    this.#owners.set(record, owner);
  }
}

/** A copy of its own, and not a slice of Node's pool: one kept record would keep 8 kB alive. */
function copyOf(bytes: Buffer): Buffer {
  const record = Buffer.allocUnsafeSlow(bytes.length);
  record.set(bytes);
  return record;
}
