/**
 * Gives each list of parents a number. Its text is some kilobytes long, and many owners that are kept for a while have
 * the same parents.
 */
import { Recent } from '../../common/bounded_map.ts';
import type { ProcessSnapshot } from '../linux/process_snapshot.ts';

/** Lists of parents that are told apart at one time; one that comes again later counts as another. */
const MAX_PARENTS = 256;

export class ParentNumbers {
  readonly #byList = new WeakMap<readonly ProcessSnapshot[], number>();
  readonly #byText = new Recent<number>(MAX_PARENTS);
  #last = 0;

  /** Returns the same number for lists with equal parents. */
  numberOf(parents: readonly ProcessSnapshot[]): number {
    let number = this.#byList.get(parents);
    if (number === undefined) {
      const text = parents
        .map(({ pid, startTicks, name, executable, args }) =>
          [pid, startTicks, name, String(executable), String(args?.join(' '))].join(' '),
        )
        .join('\0');
      number = this.#byText.get(text);
      if (number === undefined) {
        number = ++this.#last;
        this.#byText.set(text, number);
      }
      this.#byList.set(parents, number);
    }
    return number;
  }
}
