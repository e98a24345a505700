/** Asks questions, each in a transaction that only reads and so sees the store as it is at one moment. */
import { isConnectionLost } from './database_errors.ts';
import type { DatabasePool, Session } from './database_pool.ts';

export const VIEW = 'ISOLATION LEVEL REPEATABLE READ READ ONLY';

export interface Views {
  view<T>(ask: (session: Session) => Promise<T>): Promise<T>;
}

export class PrimaryViews implements Views {
  readonly #pool: DatabasePool;

  constructor(pool: DatabasePool) {
    this.#pool = pool;
  }

  /** Asks once more where the connection was lost. */
  async view<T>(ask: (session: Session) => Promise<T>): Promise<T> {
    try {
      return await this.#pool.transaction(ask, VIEW);
    } catch (error) {
      if (!isConnectionLost(error)) throw error;
      return this.#pool.transaction(ask, VIEW);
    }
  }
}
