/** Enrols agents that come at the same time in one transaction, so that they share one sync to disk. */
import type { AdminStore } from '../admin/admin_store.ts';
import type { EnrolmentClaim } from './token_store.ts';

/** Time that the first agent of a group waits for others. */
const GROUP_MS = 10;

type Issue = (store: AdminStore, hostId: string, claim: EnrolmentClaim) => Promise<string | null>;

interface Waiting {
  hostId: string;
  claim: EnrolmentClaim;
  resolve: (credential: string | null) => void;
  reject: (error: unknown) => void;
}

export class Enrolments {
  readonly #admin: Pick<AdminStore, 'transaction'>;
  readonly #issue: Issue;
  readonly #onNotStored: () => void;
  #waiting: Waiting[] = [];

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
      if (this.#waiting.length === 0) setTimeout(() => void this.#issueAll(), GROUP_MS);
      this.#waiting.push({ hostId, claim, resolve, reject });
    });
  }

  async #issueAll(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    const settle: (() => void)[] = [];
    try {
      await this.#admin.transaction('access', async (store) => {
        for (const { hostId, claim, resolve, reject } of waiting) {
          try {
            const credential = await store.transaction('access', (part) => this.#issue(part, hostId, claim));
            settle.push(() => resolve(credential));
          } catch (error) {
            this.#onNotStored();
            settle.push(() => reject(error));
          }
        }
      });
    } catch (error) {
      this.#onNotStored();
      for (const { reject } of waiting) reject(error);
      return;
    }
    for (const settleOne of settle) settleOne();
  }
}
