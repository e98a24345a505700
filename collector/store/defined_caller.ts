/**
 * A caller that a connection has defined, in the form that its table keeps: the key by which a store knows it, and its
 * description as compressed text. The table of one connection may hold 128 KiB of descriptions (protocol/frames.ts), and
 * a collector has thousands of connections. As objects the descriptions took several times as much.
 */
import { hash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { CallerFacts } from './workload_identity.ts';

/** A caller of a batch. Those of protocol 1 are described in full in every record. */
export type StoredCaller = CallerFacts | DefinedCaller;

export function factsOfCaller(caller: StoredCaller): CallerFacts {
  return caller instanceof DefinedCaller ? caller.facts : caller;
}

/** Returns equal JSON for equal facts, in whatever order a batch has the fields. */
export function jsonOfCaller(caller: StoredCaller): string {
  if (caller instanceof DefinedCaller) return caller.json;
  const { process, container, k8s, systemd } = caller;
  return JSON.stringify({
    process,
    container,
    k8s,
    systemd,
    'attribution.method': caller['attribution.method'],
    'attribution.confidence': caller['attribution.confidence'],
  });
}

/**
 * Returns the key of a caller's row in base64. `where` is the source address of a caller whose process is not
 * known, which tells workloads apart then, and empty otherwise.
 */
export function callerKey(hostId: string, where: string, json: string): string {
  return hash('sha256', JSON.stringify([hostId, where, json]), 'base64');
}

export class DefinedCaller {
  /** The key of its row (`callerKey`); null where the source address of each call belongs to the key. */
  readonly key: string | null;
  #source: string | CompressedTexts;
  /** Index in compressed texts. */
  #index = 0;
  /** True since a store has stored a batch with this caller, and so has its description. */
  isStored = false;

  constructor(facts: CallerFacts, hostId: string) {
    const json = jsonOfCaller(facts);
    this.key = facts.process === null ? null : callerKey(hostId, '', json);
    this.#source = json;
  }

  get json(): string {
    return typeof this.#source === 'string' ? this.#source : this.#source.text(this.#index);
  }

  get facts(): CallerFacts {
    return JSON.parse(this.json) as CallerFacts;
  }

  /** Compresses the descriptions of several callers together: they have most of their words in common. */
  static compress(callers: readonly DefinedCaller[]): void {
    const compressed = new CompressedTexts(callers.map(({ json }) => json));
    for (const [index, caller] of callers.entries()) {
      caller.#source = compressed;
      caller.#index = index;
    }
  }
}

/** JSON has no line feed between its tokens, and writes those in texts as `\n`. */
const SEPARATOR = '\n';
/** A small window: the texts are some 16 KiB. zlib allocates memory for each compression in proportion to it. */
const OPTIONS = { level: 1, memLevel: 5, windowBits: 13, chunkSize: 4096 };

class CompressedTexts {
  /** The bytes as characters: a small buffer would take some hundred bytes more. */
  readonly #deflated: string;
  /** The texts, until the next garbage collection after they were read. */
  #texts: WeakRef<string[]> | null = null;

  constructor(texts: readonly string[]) {
    this.#deflated = deflateRawSync(texts.join(SEPARATOR), OPTIONS).toString('latin1');
  }

  text(index: number): string {
    let texts = this.#texts?.deref();
    if (texts === undefined) {
      texts = inflateRawSync(Buffer.from(this.#deflated, 'latin1')).toString('utf8').split(SEPARATOR);
      this.#texts = new WeakRef(texts);
    }
    return texts[index]!;
  }
}
