/** Rows of tokens, by the hash of their secret. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Role, Token, TokenKind } from '../contract/administration.ts';
import { isoTime } from './time.ts';

export interface TokenRow {
  id: string;
  kind: TokenKind;
  name: string;
  role: Role | null;
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

const COLUMNS = `id, kind, name, role, host_id AS hostId, created_ms AS createdMs, created_by AS createdBy, enrolled,
  expires_ms AS expiresMs, last_used_ms AS lastUsedMs, revoked_ms AS revokedMs, enrolment_key_hash AS enrolmentKeyHash`;
const VALID = '(revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > :now))';

export class Tokens {
  readonly #byHash: StatementSync;
  readonly #byId: StatementSync;
  readonly #ofHost: StatementSync;
  readonly #all: StatementSync;
  readonly #insert: StatementSync;
  readonly #revoke: StatementSync;
  readonly #replaceSecret: StatementSync;
  readonly #used: StatementSync;
  readonly #expired: StatementSync;
  readonly #revoked: StatementSync;
  readonly #credentials: StatementSync;
  readonly #forget: StatementSync;

  constructor(database: DatabaseSync) {
    const prepare = (sql: string) => database.prepare(sql);
    this.#byHash = prepare(`SELECT ${COLUMNS} FROM tokens WHERE hash = :hash AND ${VALID}`);
    this.#byId = prepare(`SELECT ${COLUMNS} FROM tokens WHERE id = :id`);
    this.#ofHost = prepare(
      `SELECT ${COLUMNS} FROM tokens WHERE host_id = :host AND kind = 'agent' AND revoked_ms IS NULL`,
    );
    this.#all = prepare(`SELECT ${COLUMNS} FROM tokens ORDER BY created_ms, id`);
    this.#insert = prepare(
      `INSERT INTO tokens (id, hash, kind, name, role, host_id, created_ms, created_by, enrolled, expires_ms, enrolment_key_hash)
       VALUES (:id, :hash, :kind, :name, :role, :hostId, :createdMs, :createdBy, :enrolled, :expiresMs, :enrolmentKeyHash)`,
    );
    this.#revoke = prepare('UPDATE tokens SET revoked_ms = :now WHERE id = :id AND revoked_ms IS NULL');
    this.#replaceSecret = prepare(
      `UPDATE tokens SET hash = :hash, created_ms = :now, created_by = :by, enrolled = 1, expires_ms = NULL, last_used_ms = NULL
       WHERE id = :id AND revoked_ms IS NULL`,
    );
    this.#used = prepare('UPDATE tokens SET last_used_ms = :now WHERE id = :id');
    this.#expired = prepare(
      `SELECT ${COLUMNS} FROM tokens WHERE revoked_ms IS NULL AND expires_ms > :after AND expires_ms <= :until`,
    );
    this.#revoked = prepare(`SELECT ${COLUMNS} FROM tokens WHERE revoked_ms IS NOT NULL`);
    this.#credentials = prepare(
      "SELECT count(*) AS count FROM tokens WHERE kind = 'agent' AND revoked_ms IS NULL",
    );
    // An expired credential still protects its host against enrolment tokens, until an admin revokes it.
    this.#forget = prepare(
      "DELETE FROM tokens WHERE coalesce(revoked_ms, expires_ms) < :before AND (kind <> 'agent' OR revoked_ms IS NOT NULL)",
    );
  }

  /** Returns the valid token with this hash. */
  byHash(hash: Uint8Array, nowMs: number): TokenRow | null {
    return row(this.#byHash.get({ hash, now: nowMs }));
  }

  /** Returns a token, valid or not. */
  byId(id: string): TokenRow | null {
    return row(this.#byId.get({ id }));
  }

  /** Returns the host's credential that is not revoked. It may have expired. */
  ofHost(hostId: string): TokenRow | null {
    return row(this.#ofHost.get({ host: hostId }));
  }

  /** Returns all tokens, oldest first, including revoked and expired ones. */
  all(): TokenRow[] {
    return this.#all.all() as unknown as TokenRow[];
  }

  insert(token: Omit<TokenRow, 'lastUsedMs' | 'revokedMs'> & { hash: Uint8Array }): void {
    this.#insert.run({ ...token });
  }

  /** Revokes a token. Returns false where there is none, or where it is revoked already. */
  revoke(id: string, nowMs: number): boolean {
    return this.#revoke.run({ id, now: nowMs }).changes === 1;
  }

  /** Replaces the secret of a credential. The old secret is invalid from then on. */
  replaceSecret(id: string, hash: Uint8Array, by: string, nowMs: number): void {
    this.#replaceSecret.run({ id, hash, by, now: nowMs });
  }

  used(id: string, nowMs: number): void {
    this.#used.run({ id, now: nowMs });
  }

  expiredBetween(afterMs: number, untilMs: number): TokenRow[] {
    return this.#expired.all({ after: afterMs, until: untilMs }) as unknown as TokenRow[];
  }

  revoked(): TokenRow[] {
    return this.#revoked.all() as unknown as TokenRow[];
  }

  /** Counts the credentials of agents that are not revoked. */
  credentialCount(): number {
    return Number(this.#credentials.get()?.['count']);
  }

  forgetBefore(ms: number): void {
    this.#forget.run({ before: ms });
  }
}

export function toToken(token: TokenRow): Token {
  return {
    id: token.id,
    kind: token.kind,
    name: token.name,
    role: token.role,
    host_id: token.hostId,
    created: isoTime(token.createdMs),
    created_by: token.createdBy,
    expires: isoTime(token.expiresMs),
    last_used: isoTime(token.lastUsedMs),
    revoked: isoTime(token.revokedMs),
  };
}

function row(found: unknown): TokenRow | null {
  return (found as TokenRow | undefined) ?? null;
}
