/**
 * The callers that one connection has defined, by the numbers that its records refer to (protocol/frames.ts).
 */
import { callerDefinition, MAX_CALLERS_BYTES } from '../../protocol/frames.ts';
import { DefinedCaller } from '../store/defined_caller.ts';
import type { CallerFacts } from '../store/workload_identity.ts';

/** Characters of descriptions that are compressed together. */
const COMPRESSED_TOGETHER = 6 * 1024;

export class CallerTable {
  #callers: (DefinedCaller | null)[] = [];
  #bytes = 0;
  /** The callers that were defined last. They are compressed after the next ones: until then they are probably stored. */
  #latest: Group = newGroup();
  #previous: Group = newGroup();

  /**
   * Adds a batch's definitions of processes of a host. Returns false where they break the protocol: out of order, or
   * beyond the bound.
   */
  define(definitions: { ref: number }[], forget: boolean, hostId: string): boolean {
    if (forget) {
      this.#callers = [];
      this.#bytes = 0;
      this.#latest = newGroup();
      this.#previous = newGroup();
    }
    for (const definition of definitions) {
      if (definition.ref !== this.#callers.length) return false;
      this.#callers.push(this.#add(definition, hostId));
    }
    return this.#bytes <= MAX_CALLERS_BYTES || this.#callers.length === definitions.length;
  }

  #add(definition: { ref: number }, hostId: string): DefinedCaller | null {
    const parsed = callerDefinition.safeParse(definition);
    if (!parsed.success) {
      const { ref: _, ...facts } = definition;
      this.#bytes += JSON.stringify(facts).length;
      return null;
    }
    const caller = new DefinedCaller(parsed.data satisfies CallerFacts, hostId);
    const { length } = caller.json;
    this.#bytes += length;
    if (this.#latest.characters >= COMPRESSED_TOGETHER) {
      if (this.#previous.callers.length > 0) DefinedCaller.compress(this.#previous.callers);
      this.#previous = this.#latest;
      this.#latest = newGroup();
    }
    this.#latest.callers.push(caller);
    this.#latest.characters += length;
    return caller;
  }

  /**
   * Returns a caller, the same object each time. Null stands for a definition that is not valid, from an
   * agent of another version: only records that name it are rejected. Undefined means that the number was
   * never defined.
   */
  get(ref: number): DefinedCaller | null | undefined {
    return this.#callers[ref];
  }
}

interface Group {
  callers: DefinedCaller[];
  characters: number;
}

function newGroup(): Group {
  return { callers: [], characters: 0 };
}
