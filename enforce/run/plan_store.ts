/**
 * Plans on disk: one directory for each, with `plan.json`, `journal.jsonl` and the directory `orders`. They are all that a
 * roll-back needs. `reported.json` says what the collector was told.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { writeFileAtomically } from '../../common/atomic_file.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { type Plan, plan } from '../plan.ts';
import type { PlanEvent } from '../state/events.ts';
import { reduce } from '../state/reduce.ts';
import { initialState, type PlanState } from '../state/step_state.ts';
import { readJournal } from './journal.ts';

/** An order to the runner that has the plan, from another process. */
export const order = z.discriminatedUnion('type', [
  z.object({ type: z.literal('paused'), by: z.string(), reason: z.string() }),
  z.object({ type: z.literal('resumed'), by: z.string() }),
  z.object({
    type: z.literal('confirmed_by'),
    by: z.string(),
    reason: z.string().optional(),
    steps: z.array(z.string()),
  }),
  z.object({
    type: z.literal('rollback_ordered'),
    by: z.string(),
    reason: z.string(),
    steps: z.array(z.string()),
  }),
]);
export type Order = z.infer<typeof order>;

/** Says what a collector was told of a plan: the events of its journal up to this number, and when. */
export const reported = z.object({ sequence: z.int().min(0), at: z.iso.datetime() });
export type Reported = z.infer<typeof reported>;

const ORDERS = 'orders';
const REPORTED_FILE = 'reported.json';
const PLAN_FILE = 'plan.json';

export class PlanStore {
  readonly #directory: string;

  /** `directory`: where the plans are. It is made when a plan is saved. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  directoryOf(id: string): string {
    return join(this.#directory, id);
  }

  journalOf(id: string): string {
    return join(this.#directory, id, 'journal.jsonl');
  }

  save(saved: Plan): void {
    try {
      mkdirSync(join(this.directoryOf(saved.id), ORDERS), { recursive: true, mode: 0o700 });
      writeFileAtomically(this.directoryOf(saved.id), PLAN_FILE, `${JSON.stringify(saved, null, 2)}\n`);
    } catch (error) {
      throw new OperatorError(
        1,
        `The plan cannot be kept in ${this.#directory}: ${(error as Error).message}. Name a directory of yours with --data-dir, also for all later commands about the plan.`,
      );
    }
  }

  /** Returns the ids of all plans, oldest first by name. */
  ids(): string[] {
    if (!existsSync(this.#directory)) return [];
    return readdirSync(this.#directory)
      .filter((id) => existsSync(join(this.#directory, id, PLAN_FILE)))
      .sort();
  }

  /** Throws `OperatorError` where there is no such plan, or where it cannot be read. */
  load(id: string): Plan {
    const path = join(this.directoryOf(id), PLAN_FILE);
    // The id becomes part of a path, so it must be one of ours.
    if (!plan.shape.id.safeParse(id).success || !existsSync(path)) {
      throw new OperatorError(
        1,
        `There is no plan "${id}" in ${this.#directory}. "imdswatch enforce show" lists the plans.`,
      );
    }
    const read = plan.safeParse(JSON.parse(readFileSync(path, 'utf8')));
    if (read.success) return read.data;
    throw new OperatorError(1, `The plan ${path} cannot be read: ${z.prettifyError(read.error)}`);
  }

  /** Returns what has become of a plan, as far as its journal says. */
  stateOf(of: Plan): { state: PlanState; events: PlanEvent[] } {
    const events = readJournal(this.journalOf(of.id));
    return { events, state: events.reduce((state, event) => reduce(of, state, event), initialState(of)) };
  }

  /** Remembers what a collector has stored of a plan's progress. */
  saveReported(id: string, told: Reported): void {
    writeFileAtomically(this.directoryOf(id), REPORTED_FILE, JSON.stringify(told));
  }

  /** Returns what a collector was told last; null if it never was. */
  reportedOf(id: string): Reported | null {
    const path = join(this.directoryOf(id), REPORTED_FILE);
    if (!existsSync(path)) return null;
    const read = reported.safeParse(JSON.parse(readFileSync(path, 'utf8')));
    return read.success ? read.data : null;
  }

  /** Leaves an order for the runner that has the plan. `name`: unique, and sorts by time. */
  leaveOrder(id: string, name: string, left: Order): void {
    writeFileAtomically(join(this.directoryOf(id), ORDERS), `${name}.json`, JSON.stringify(left));
  }

  /**
   * Calls `obey` for each order in the order of their names, and deletes it afterwards. An order is read twice after a
   * crash between the two, which changes nothing: an order that is carried out already has no effect. Throws
   * `OperatorError` for a file that is no order, after the others were obeyed, and errors of the file system.
   */
  takeOrders(id: string, obey: (order: Order) => void): void {
    const directory = join(this.directoryOf(id), ORDERS);
    const unread: string[] = [];
    for (const file of readdirSync(directory).sort()) {
      if (!file.endsWith('.json')) continue;
      const read = orderIn(readFileSync(join(directory, file), 'utf8'));
      if (read === null) {
        unread.push(file);
        continue;
      }
      obey(read);
      rmSync(join(directory, file), { force: true });
    }
    if (unread.length > 0) {
      throw new OperatorError(
        1,
        `The order ${join(directory, unread[0]!)} cannot be read. Give it again, and delete the file.`,
      );
    }
  }
}

function orderIn(text: string): Order | null {
  try {
    return order.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
