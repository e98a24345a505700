/**
 * The callers that one connection has defined, by the numbers that its records refer to (protocol/frames.ts).
 */
import { callerDefinition, MAX_CALLERS_BYTES } from '../../protocol/frames.ts';
import type { CallerFacts } from '../store/workload_identity.ts';

export class CallerTable {
  #callers: (CallerFacts | null)[] = [];
  #bytes = 0;

  /**
   * Adds a batch's definitions. Returns false where they break the protocol: out of order, or beyond the
   * bound.
   */
  define(definitions: { ref: number }[], forget: boolean): boolean {
    if (forget) {
      this.#callers = [];
      this.#bytes = 0;
    }
    for (const definition of definitions) {
      if (definition.ref !== this.#callers.length) return false;
      const parsed = callerDefinition.safeParse(definition);
      const { ref: _, ...facts } = parsed.success ? parsed.data : definition;
      this.#bytes += JSON.stringify(facts).length;
      this.#callers.push(parsed.success ? (facts as CallerFacts) : null);
    }
    return this.#bytes <= MAX_CALLERS_BYTES || this.#callers.length === definitions.length;
  }

  /**
   * Returns a caller, the same object each time. Null stands for a definition that is not valid, from an
   * agent of another version: only records that name it are rejected. Undefined means that the number was
   * never defined.
   */
  get(ref: number): CallerFacts | null | undefined {
    return this.#callers[ref];
  }
}
