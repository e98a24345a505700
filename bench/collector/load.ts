/** Starts and controls the process of the simulated agents. */
import { join } from 'node:path';
import { Forked } from './forked.ts';
import type { Order, Report } from './generator.ts';

const GENERATOR = join(import.meta.dirname, 'generator.ts');

export class Load extends Forked<Order, Report> {
  constructor() {
    super(GENERATOR);
  }

  /**
   * Sends an order. Throws if the generator failed, a connection failed, or the collector refused a record.
   */
  async order(order: Order): Promise<Report> {
    const report = await this.ask(order);
    const { failures, rejected, unacknowledged } = report;
    if (failures.length > 0) {
      throw new Error(`${failures.length} connections failed, the first: ${failures[0]}`);
    }
    if (rejected > 0) throw new Error(`the collector left out ${rejected} records`);
    if (unacknowledged > 0) throw new Error(`${unacknowledged} batches were not acknowledged in time`);
    return report;
  }
}
