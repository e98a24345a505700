/** Work of a runner that goes on side by side: calls whose answers are awaited, and looks at the findings. */

/** Kinds of work. Of `look` and `forward` there is one at a time. */
export type Lane = 'look' | 'read' | 'restore' | 'forward';

export class Work {
  readonly #tasks = new Map<Promise<void>, Lane>();
  readonly #busy = new Set<string>();
  readonly #ended: () => void;
  readonly #failed: (error: unknown) => void;

  /** `ended` is called after each task, and `failed` with the error of one, before that. */
  constructor({ ended, failed }: { ended: () => void; failed: (error: unknown) => void }) {
    this.#ended = ended;
    this.#failed = failed;
  }

  /** Lets `task` go on beside the rest. Its steps are busy until it ends. */
  start(lane: Lane, steps: readonly { id: string }[], task: Promise<void>): void {
    for (const { id } of steps) this.#busy.add(id);
    const settled = task.catch(this.#failed).then(() => {
      for (const { id } of steps) this.#busy.delete(id);
      this.#tasks.delete(settled);
      this.#ended();
    });
    this.#tasks.set(settled, lane);
  }

  isBusy({ id }: { id: string }): boolean {
    return this.#busy.has(id);
  }

  count(lane: Lane): number {
    return [...this.#tasks.values()].filter((each) => each === lane).length;
  }

  get isIdle(): boolean {
    return this.#tasks.size === 0;
  }

  /** Resolves when no work is left. */
  async settle(): Promise<void> {
    while (!this.isIdle) await Promise.all(this.#tasks.keys());
  }
}
