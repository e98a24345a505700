/** Enrols agents that come at the same time in one transaction, so that they share one sync to disk. */
import type { AdminStore } from '../admin/admin_store.ts';
import type { EnrolmentClaim } from './token_store.ts';

/** Time that the first agent of a group waits for others. */
const GROUP_MS = 10;

interface Waiting {
  hostId: string;
  claim: EnrolmentClaim;
  resolve: (credential: string | null) => void;
  reject: (error: unknown) => void;
}

export class Enrolments {
  readonly #admin: Pick<AdminStore, 'transaction'>;
  readonly #issue: (hostId: string, claim: EnrolmentClaim) => string | null;
  #waiting: Waiting[] = [];

  /** `issue` writes to the database and is called within a transaction. */
  constructor(
    admin: Pick<AdminStore, 'transaction'>,
    issue: (hostId: string, claim: EnrolmentClaim) => string | null,
  ) {
    this.#admin = admin;
    this.#issue = issue;
  }

  /** Resolves with the result of `issue` once it is durable. Rejects if it cannot be stored. */
  enrol(hostId: string, claim: EnrolmentClaim): Promise<string | null> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setTimeout(() => this.#issueAll(), GROUP_MS);
      this.#waiting.push({ hostId, claim, resolve, reject });
    });
  }

  #issueAll(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    const settle: (() => void)[] = [];
    try {
      this.#admin.transaction(() => {
        for (const { hostId, claim, resolve, reject } of waiting) {
          try {
            const credential = this.#issue(hostId, claim);
            settle.push(() => resolve(credential));
          } catch (error) {
            settle.push(() => reject(error));
          }
        }
      });
    } catch (error) {
      for (const { reject } of waiting) reject(error);
      return;
    }
    for (const settleOne of settle) settleOne();
  }
}
