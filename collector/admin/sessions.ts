/** Rows of one-time sign-in codes and of the sessions of people, by the hashes of their secrets. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Role } from '../contract/administration.ts';

export interface SessionRow {
  /** Id of the token that opened the session; null for a sign-in code. */
  token: string | null;
  name: string;
  role: Role;
  lastUsedMs: number;
  expiresMs: number;
}

export class Sessions {
  readonly #insertCode: StatementSync;
  readonly #takeCode: StatementSync;
  readonly #insert: StatementSync;
  readonly #byHash: StatementSync;
  readonly #used: StatementSync;
  readonly #delete: StatementSync;
  readonly #deleteAll: StatementSync;
  readonly #keepNewest: StatementSync;
  readonly #deleteCodes: StatementSync;
  readonly #forgetCodes: StatementSync;
  readonly #forgetSessions: StatementSync;
  readonly #count: StatementSync;
  readonly #deleteOldest: StatementSync;

  constructor(database: DatabaseSync) {
    const prepare = (sql: string) => database.prepare(sql);
    this.#insertCode = prepare(
      'INSERT INTO sign_in_codes (hash, role, name, expires_ms) VALUES (?, ?, ?, ?)',
    );
    this.#takeCode = prepare(
      'DELETE FROM sign_in_codes WHERE hash = ? RETURNING role, name, expires_ms AS expiresMs',
    );
    this.#insert = prepare(
      'INSERT INTO sessions (hash, token, name, role, last_used_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?)',
    );
    // A session lives no longer than its token, and has that token's role.
    this.#byHash = prepare(`
      SELECT s.token, coalesce(t.name, s.name) AS name, coalesce(t.role, s.role) AS role,
        s.last_used_ms AS lastUsedMs, s.expires_ms AS expiresMs
      FROM sessions s LEFT JOIN tokens t ON t.id = s.token
      WHERE s.hash = :hash AND s.expires_ms > :now AND s.last_used_ms > :idleSince
        AND (s.token IS NULL OR (t.revoked_ms IS NULL AND (t.expires_ms IS NULL OR t.expires_ms > :now)))`);
    this.#used = prepare('UPDATE sessions SET last_used_ms = ? WHERE hash = ?');
    this.#delete = prepare('DELETE FROM sessions WHERE hash = ? RETURNING name');
    this.#deleteAll = prepare('DELETE FROM sessions');
    this.#keepNewest = prepare(
      'DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE token = ? ORDER BY expires_ms DESC LIMIT -1 OFFSET ?)',
    );
    this.#deleteCodes = prepare('DELETE FROM sign_in_codes');
    this.#forgetCodes = prepare('DELETE FROM sign_in_codes WHERE expires_ms <= ?');
    this.#forgetSessions = prepare('DELETE FROM sessions WHERE expires_ms <= ? OR last_used_ms <= ?');
    this.#count = prepare('SELECT count(*) AS count FROM sessions');
    this.#deleteOldest = prepare(
      'DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions ORDER BY last_used_ms LIMIT ?)',
    );
  }

  insertCode(hash: Uint8Array, role: Role, name: string, expiresMs: number): void {
    this.#insertCode.run(hash, role, name, expiresMs);
  }

  /** Deletes the code and returns it, so that it works once. */
  takeCode(hash: Uint8Array): { role: Role; name: string; expiresMs: number } | null {
    return (this.#takeCode.get(hash) as { role: Role; name: string; expiresMs: number } | undefined) ?? null;
  }

  insert(hash: Uint8Array, { token, name, role, lastUsedMs, expiresMs }: SessionRow): void {
    this.#insert.run(hash, token, name, role, lastUsedMs, expiresMs);
  }

  /** Deletes the oldest sessions of one token beyond `atMost`. */
  keepNewest(token: string, atMost: number): void {
    this.#keepNewest.run(token, atMost);
  }

  byHash(hash: Uint8Array, nowMs: number, idleSinceMs: number): SessionRow | null {
    const found = this.#byHash.get({ hash, now: nowMs, idleSince: idleSinceMs });
    return (found as SessionRow | undefined) ?? null;
  }

  used(hash: Uint8Array, nowMs: number): void {
    this.#used.run(nowMs, hash);
  }

  /** Deletes a session and returns the name of its user. */
  delete(hash: Uint8Array): string | null {
    return (this.#delete.get(hash)?.['name'] as string | undefined) ?? null;
  }

  /** Deletes all sessions and codes. Returns the number of sessions. */
  deleteAll(): number {
    this.#deleteCodes.run();
    return Number(this.#deleteAll.run().changes);
  }

  /** Deletes codes and sessions that have ended, and the least recently used sessions beyond `atMost`. */
  forget(nowMs: number, idleSinceMs: number, atMost: number): void {
    this.#forgetCodes.run(nowMs);
    this.#forgetSessions.run(nowMs, idleSinceMs);
    const surplus = Number(this.#count.get()?.['count']) - atMost;
    if (surplus > 0) this.#deleteOldest.run(surplus);
  }
}
