/**
 * Hands the events of several runs to one reporter. The reporter of node:test takes the end of a test for that of the
 * test that began last, and throws where it is another one. Two runs at the same time have their events in any order,
 * so the beginnings of a run are held back until the first end in it.
 */
import type { TestEvent } from 'node:test/reporters';

export class RunReport {
  readonly #write: (event: TestEvent) => void;
  #held: TestEvent[] = [];

  /** `write` hands an event to the reporter, at once. */
  constructor(write: (event: TestEvent) => void) {
    this.#write = write;
  }

  add(event: TestEvent): void {
    this.#held.push(event);
    const isEnd = event.type === 'test:pass' || event.type === 'test:fail';
    if (isEnd || !this.#held.some(({ type }) => type === 'test:start')) this.flush();
  }

  flush(): void {
    const held = this.#held;
    this.#held = [];
    for (const event of held) this.#write(event);
  }
}
