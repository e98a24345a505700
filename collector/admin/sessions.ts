/** Rows of one-time sign-in codes and of the sessions of people, by the hashes of their secrets. */
import type { Role } from '../contract/administration.ts';
import type { Sight } from '../contract/host_scope.ts';
import type { AdminSql } from './admin_sql.ts';
import { readScope, scopeColumn } from './scope_column.ts';

export interface SessionRow {
  /** Id of the token that opened the session; null for a sign-in code or an identity provider. */
  token: string | null;
  name: string;
  role: Role;
  /** Null for the whole fleet. */
  scope: Sight;
  /**
   * ID token of the identity provider that signed the person in, which ends their session there. It is encrypted
   * with a key that is not in the database.
   */
  idToken: string | null;
  lastUsedMs: number;
  expiresMs: number;
}

export interface CodeRow {
  role: Role;
  scope: Sight;
  name: string;
  expiresMs: number;
}

export class Sessions {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  async insertCode(hash: Uint8Array, { role, scope, name, expiresMs }: CodeRow): Promise<void> {
    await this.#sql.run(
      'INSERT INTO sign_in_codes (hash, role, scope, name, expires_ms) VALUES ($1, $2, $3, $4, $5)',
      hash,
      role,
      scopeColumn(scope),
      name,
      expiresMs,
    );
  }

  /** Deletes the code and returns it, so that it works once. */
  async takeCode(hash: Uint8Array): Promise<CodeRow | null> {
    const row = await this.#sql.get(
      'DELETE FROM sign_in_codes WHERE hash = $1 RETURNING role, scope, name, expires_ms AS "expiresMs"',
      hash,
    );
    return row === undefined ? null : ({ ...row, scope: readScope(row['scope']) } as unknown as CodeRow);
  }

  async insert(
    hash: Uint8Array,
    { token, name, role, scope, idToken, lastUsedMs, expiresMs }: SessionRow,
  ): Promise<void> {
    await this.#sql.run(
      'INSERT INTO sessions (hash, token, name, role, scope, id_token, last_used_ms, expires_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)',
      hash,
      token,
      name,
      role,
      scopeColumn(scope),
      idToken,
      lastUsedMs,
      expiresMs,
    );
  }

  /** Deletes the oldest sessions of one token beyond `atMost`. */
  async keepNewest(token: string, atMost: number): Promise<void> {
    await this.#sql.run(
      `DELETE FROM sessions WHERE token = $1 AND hash NOT IN
         (SELECT hash FROM sessions WHERE token = $1 ORDER BY expires_ms DESC, hash LIMIT $2)`,
      token,
      atMost,
    );
  }

  /** Deletes the oldest sessions beyond `atMost` of those of one name that an identity provider signed in. */
  async keepNewestProvided(name: string, atMost: number): Promise<void> {
    await this.#sql.run(
      `DELETE FROM sessions WHERE name = $1 AND id_token IS NOT NULL AND hash NOT IN
         (SELECT hash FROM sessions WHERE name = $1 AND id_token IS NOT NULL ORDER BY expires_ms DESC, hash LIMIT $2)`,
      name,
      atMost,
    );
  }

  async byHash(hash: Uint8Array, nowMs: number, idleSinceMs: number): Promise<SessionRow | null> {
    // A session lives no longer than its token, and has that token's role and scope.
    const row = await this.#sql.get(
      `SELECT s.token, coalesce(t.name, s.name) AS name, coalesce(t.role, s.role) AS role,
         CASE WHEN t.id IS NULL THEN s.scope ELSE t.scope END AS scope, s.id_token AS "idToken",
         s.last_used_ms AS "lastUsedMs", s.expires_ms AS "expiresMs"
       FROM sessions s LEFT JOIN tokens t ON t.id = s.token
       WHERE s.hash = $1 AND s.expires_ms > $2 AND s.last_used_ms > $3
         AND (s.token IS NULL OR (t.revoked_ms IS NULL AND (t.expires_ms IS NULL OR t.expires_ms > $2)))`,
      hash,
      nowMs,
      idleSinceMs,
    );
    return row === undefined ? null : ({ ...row, scope: readScope(row['scope']) } as unknown as SessionRow);
  }

  async used(hash: Uint8Array, nowMs: number): Promise<void> {
    await this.#sql.run('UPDATE sessions SET last_used_ms = $1 WHERE hash = $2', nowMs, hash);
  }

  /** Deletes a session and returns the name of its user, and the ID token. */
  async delete(hash: Uint8Array): Promise<Pick<SessionRow, 'name' | 'idToken'> | null> {
    const row = await this.#sql.get(
      'DELETE FROM sessions WHERE hash = $1 RETURNING name, id_token AS "idToken"',
      hash,
    );
    return (row as unknown as Pick<SessionRow, 'name' | 'idToken'> | undefined) ?? null;
  }

  /** Deletes all sessions and codes. Returns the number of sessions. */
  async deleteAll(): Promise<number> {
    await this.#sql.run('DELETE FROM sign_in_codes');
    return this.#sql.run('DELETE FROM sessions');
  }

  /** Deletes codes and sessions that have ended, and the least recently used sessions beyond `atMost`. */
  async forget(nowMs: number, idleSinceMs: number, atMost: number): Promise<void> {
    await this.#sql.run('DELETE FROM sign_in_codes WHERE expires_ms <= $1', nowMs);
    await this.#sql.run(
      'DELETE FROM sessions WHERE expires_ms <= $1 OR last_used_ms <= $2',
      nowMs,
      idleSinceMs,
    );
    const surplus =
      Number((await this.#sql.get('SELECT count(*) AS count FROM sessions'))?.['count']) - atMost;
    if (surplus <= 0) return;
    await this.#sql.run(
      'DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions ORDER BY last_used_ms LIMIT $1)',
      surplus,
    );
  }
}
