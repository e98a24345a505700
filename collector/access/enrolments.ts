/**
 * Enrols agents that come at the same time in one transaction, so that they share its statements and its sync to disk.
 * Those that come meanwhile wait for the next one: of a large fleet that enrols at once, some hundred are in each.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AdminStore } from '../admin/admin_store.ts';
import type { EnrolmentClaim } from './token_store.ts';

export interface Enrolment {
  hostId: string;
  claim: EnrolmentClaim;
}

/** Time that the first agent of a group waits for others. */
const GROUP_MS = 10;
/** A transaction about access makes others wait, also those of other collectors. */
const MAX_GROUP = 500;

/** Returns a credential or null for each of them, in their order. No two are about the same host. */
type Issue = (store: AdminStore, enrolments: readonly Enrolment[]) => Promise<(string | null)[]>;

interface Waiting extends Enrolment {
  resolve: (credential: string | null) => void;
  reject: (error: unknown) => void;
}

export class Enrolments {
  readonly #admin: Pick<AdminStore, 'transaction'>;
  readonly #issue: Issue;
  readonly #onNotStored: () => void;
  #waiting: Waiting[] = [];
  #running: Promise<void> | null = null;

  /**
   * `issue` is called within a transaction about access. `onNotStored` is called where something that `issue` did was not
   * stored.
   */
  constructor(admin: Pick<AdminStore, 'transaction'>, issue: Issue, onNotStored: () => void) {
    this.#admin = admin;
    this.#issue = issue;
    this.#onNotStored = onNotStored;
  }

  /** Resolves with the result of `issue` once it is durable. Rejects if it cannot be stored. */
  enrol(hostId: string, claim: EnrolmentClaim): Promise<string | null> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ hostId, claim, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    await sleep(GROUP_MS);
    while (this.#waiting.length > 0) await this.#issueAll(this.#nextGroup());
    this.#running = null;
  }

  /** Puts agents that claim the same host into different groups: each must see what the one before got. */
  #nextGroup(): Waiting[] {
    const group = new Map<string, Waiting>();
    const others: Waiting[] = [];
    for (const each of this.#waiting) {
      if (group.size < MAX_GROUP && !group.has(each.hostId)) group.set(each.hostId, each);
      else others.push(each);
    }
    this.#waiting = others;
    return [...group.values()];
  }

  async #issueAll(group: readonly Waiting[]): Promise<void> {
    let credentials: (string | null)[];
    try {
      credentials = await this.#admin.transaction('access', (store) => this.#issue(store, group));
    } catch (error) {
      this.#onNotStored();
      for (const { reject } of group) reject(error);
      return;
    }
    for (const [at, { resolve }] of group.entries()) resolve(credentials[at]!);
  }
}
