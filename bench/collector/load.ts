/** Starts and controls the process of the simulated agents. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Order, Report } from './generator.ts';

const GENERATOR = join(import.meta.dirname, 'generator.ts');

export class Load {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(GENERATOR, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }

  /**
   * Sends an order. Throws if the generator failed, a connection failed, or the collector refused a record.
   */
  async order(order: Order): Promise<Report> {
    this.#child.send(order);
    const ended = new AbortController();
    const end = once(this.#child, 'exit', { signal: ended.signal }).then(([code]) => {
      throw new Error(`the generator ended with ${code}`);
    });
    end.catch(() => {}); // aborted once the answer is there
    const answered = once(this.#child, 'message', { signal: ended.signal });
    answered.catch(() => {}); // as above, when the process has ended
    try {
      const [answer] = (await Promise.race([answered, end])) as [{ report?: Report; error?: string }];
      if (answer.report === undefined) throw new Error(answer.error);
      const { failures, rejected, unacknowledged } = answer.report;
      if (failures.length > 0)
        throw new Error(`${failures.length} connections failed, the first: ${failures[0]}`);
      if (rejected > 0) throw new Error(`the collector left out ${rejected} records`);
      if (unacknowledged > 0) throw new Error(`${unacknowledged} batches were not acknowledged in time`);
      return answer.report;
    } finally {
      ended.abort();
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.disconnect();
    await exited;
  }
}
