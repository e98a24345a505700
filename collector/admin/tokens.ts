/** Rows of tokens, by the hash of their secret. */
import type { Role, Token, TokenKind } from '../contract/administration.ts';
import type { Sight } from '../contract/host_scope.ts';
import type { AdminSql, SqlRow } from './admin_sql.ts';
import { inParts, places } from './many_rows.ts';
import { readScope, scopeColumn } from './scope_column.ts';
import { isoTime } from './time.ts';

export interface TokenRow {
  id: string;
  kind: TokenKind;
  name: string;
  role: Role | null;
  /** Null for the whole fleet. */
  scope: Sight;
  hostId: string | null;
  createdMs: number;
  createdBy: string;
  /** 1 for a credential that an agent obtained with an enrolment token. */
  enrolled: 0 | 1;
  expiresMs: number | null;
  lastUsedMs: number | null;
  revokedMs: number | null;
  /**
   * The hash of the enrolment key that the agent showed. With the same key it may obtain another credential.
   */
  enrolmentKeyHash: Uint8Array | null;
}

type NewTokenRow = Omit<TokenRow, 'lastUsedMs' | 'revokedMs'> & { hash: Uint8Array };

const COLUMNS = `id, kind, name, role, scope, host_id AS "hostId", created_ms AS "createdMs", created_by AS "createdBy", enrolled,
  expires_ms AS "expiresMs", last_used_ms AS "lastUsedMs", revoked_ms AS "revokedMs",
  enrolment_key_hash AS "enrolmentKeyHash"`;

export class Tokens {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  /** Returns the valid token with this hash. */
  async byHash(hash: Uint8Array, nowMs: number): Promise<TokenRow | null> {
    return row(
      await this.#sql.get(
        `SELECT ${COLUMNS} FROM tokens
         WHERE hash = $1 AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $2)`,
        hash,
        nowMs,
      ),
    );
  }

  /** Returns a token, valid or not. */
  async byId(id: string): Promise<TokenRow | null> {
    return row(await this.#sql.get(`SELECT ${COLUMNS} FROM tokens WHERE id = $1`, id));
  }

  /** Returns the host's credential that is not revoked. It may have expired. */
  async ofHost(hostId: string): Promise<TokenRow | null> {
    return row(
      await this.#sql.get(
        `SELECT ${COLUMNS} FROM tokens WHERE host_id = $1 AND kind = 'agent' AND revoked_ms IS NULL`,
        hostId,
      ),
    );
  }

  /** Returns the same for those of a list of hosts that have one. */
  async ofHosts(hostIds: readonly string[]): Promise<TokenRow[]> {
    const found: TokenRow[] = [];
    for (const part of inParts(hostIds)) {
      const some = await this.#sql.all(
        `SELECT ${COLUMNS} FROM tokens WHERE kind = 'agent' AND revoked_ms IS NULL
           AND host_id IN (${places(part.length, 1, 0)})`,
        ...part,
      );
      found.push(...rows(some));
    }
    return found;
  }

  /** Returns all tokens, oldest first, including revoked and expired ones. */
  async all(): Promise<TokenRow[]> {
    return rows(await this.#sql.all(`SELECT ${COLUMNS} FROM tokens ORDER BY created_ms, id`));
  }

  async insert(token: NewTokenRow): Promise<void> {
    await this.insertAll([token]);
  }

  async insertAll(tokens: readonly NewTokenRow[]): Promise<void> {
    for (const part of inParts(tokens)) {
      await this.#sql.run(
        `INSERT INTO tokens (id, hash, kind, name, role, scope, host_id, created_ms, created_by, enrolled, expires_ms, enrolment_key_hash)
         VALUES ${places(part.length, 12, 0)}`,
        ...part.flatMap((token) => [
          token.id,
          token.hash,
          token.kind,
          token.name,
          token.role,
          scopeColumn(token.scope),
          token.hostId,
          token.createdMs,
          token.createdBy,
          token.enrolled,
          token.expiresMs,
          token.enrolmentKeyHash,
        ]),
      );
    }
  }

  /** Revokes a token. Returns false where there is none, or where it is revoked already. */
  async revoke(id: string, nowMs: number): Promise<boolean> {
    const text = 'UPDATE tokens SET revoked_ms = $1 WHERE id = $2 AND revoked_ms IS NULL';
    return (await this.#sql.run(text, nowMs, id)) === 1;
  }

  /** Replaces the secret of a credential. The old secret is invalid from then on. */
  async replaceSecret(id: string, hash: Uint8Array, by: string, nowMs: number): Promise<void> {
    await this.#sql.run(
      `UPDATE tokens SET hash = $1, created_ms = $2, created_by = $3, enrolled = 1, expires_ms = NULL, last_used_ms = NULL
       WHERE id = $4 AND revoked_ms IS NULL`,
      hash,
      nowMs,
      by,
      id,
    );
  }

  /** Stores when tokens were last used. */
  async used(tokens: readonly (readonly [id: string, ms: number])[]): Promise<void> {
    for (const part of inParts(tokens)) {
      await this.#sql.run(
        `UPDATE tokens SET last_used_ms = CAST(v.column2 AS bigint) FROM (VALUES ${places(part.length, 2, 0)}) AS v
         WHERE tokens.id = v.column1`,
        ...part.flat(),
      );
    }
  }

  async expiredBetween(afterMs: number, untilMs: number): Promise<TokenRow[]> {
    return rows(
      await this.#sql.all(
        `SELECT ${COLUMNS} FROM tokens WHERE revoked_ms IS NULL AND expires_ms > $1 AND expires_ms <= $2`,
        afterMs,
        untilMs,
      ),
    );
  }

  async revoked(): Promise<TokenRow[]> {
    return rows(await this.#sql.all(`SELECT ${COLUMNS} FROM tokens WHERE revoked_ms IS NOT NULL`));
  }

  /** Counts the credentials of agents that are not revoked. */
  async credentialCount(): Promise<number> {
    const found = await this.#sql.get(
      "SELECT count(*) AS count FROM tokens WHERE kind = 'agent' AND revoked_ms IS NULL",
    );
    return Number(found?.['count']);
  }

  /** An expired credential still protects its host against enrolment tokens, until an admin revokes it. */
  async forgetBefore(ms: number): Promise<void> {
    await this.#sql.run(
      "DELETE FROM tokens WHERE coalesce(revoked_ms, expires_ms) < $1 AND (kind <> 'agent' OR revoked_ms IS NOT NULL)",
      ms,
    );
  }
}

export function toToken(token: TokenRow): Token {
  return {
    id: token.id,
    kind: token.kind,
    name: token.name,
    role: token.role,
    scope: token.scope,
    host_id: token.hostId,
    created: isoTime(token.createdMs),
    created_by: token.createdBy,
    expires: isoTime(token.expiresMs),
    last_used: isoTime(token.lastUsedMs),
    revoked: isoTime(token.revokedMs),
  };
}

function row(found: SqlRow | undefined): TokenRow | null {
  return found === undefined ? null : rows([found])[0]!;
}

function rows(found: SqlRow[]): TokenRow[] {
  return found.map((each) => ({ ...each, scope: readScope(each['scope']) }) as unknown as TokenRow);
}
