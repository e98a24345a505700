/** A process that does what it is ordered, one order after the other, and answers each with a report. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

export class Forked<Order extends object, Report> {
  readonly #child: ChildProcess;

  /** `file`: its module, which calls `obey`. */
  constructor(file: string) {
    this.#child = fork(file, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }

  /** Sends an order. Throws where the process failed or has ended. */
  async ask(order: Order): Promise<Report> {
    this.#child.send(order);
    const ended = new AbortController();
    const end = once(this.#child, 'exit', { signal: ended.signal }).then(([code]) => {
      throw new Error(`the process of the agents ended with ${code}`);
    });
    end.catch(() => {}); // aborted once the answer is there
    const answered = once(this.#child, 'message', { signal: ended.signal });
    answered.catch(() => {}); // as above, when the process has ended
    try {
      const [answer] = (await Promise.race([answered, end])) as [{ report?: Report; error?: string }];
      if (answer.error !== undefined) throw new Error(answer.error);
      return answer.report!;
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

/** Runs in the process itself. It ends with its parent: if the benchmark is killed, nobody else ends it. */
export function obey<Order, Report>(work: (order: Order) => Promise<Report>): void {
  process.on('message', (order: Order) => {
    work(order).then(
      (report) => process.send!({ report }),
      (error: unknown) => process.send!({ error: error instanceof Error ? error.stack : String(error) }),
    );
  });
  process.on('disconnect', () => process.exit(0));
}
