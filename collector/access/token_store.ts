/** Tokens as admins see them: made, listed, revoked, and who has to be told when one stops counting. */
import { randomUUID } from 'node:crypto';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { OperatorError } from '../../common/operator_error.ts';
import type { AuditLog } from '../admin/audit_log.ts';
import { type TokenRow, Tokens, toToken } from '../admin/tokens.ts';
import { transaction } from '../admin/transaction.ts';
import type { NewToken, Token, TokenKind } from '../contract/administration.ts';
import { type Actor, COMMAND_PREFIX } from './principal.ts';
import { letterOf, newSecret, type SecretLetter, secretHash } from './secret.ts';

/** What an agent shows beside an enrolment token. */
export interface EnrolmentClaim {
  /** A secret that the agent made before it enrolled; null or left out for agents of releases that have none. */
  enrolmentKey?: string | null;
  sourceAddress?: string | null;
}

/** A token that counts no longer: revoked (here or by a command in another process), or expired. */
export interface EndedToken {
  id: string;
  kind: TokenKind;
  /** Of an agent's credential: connections that speak for this host by `credential` must go. */
  hostId: string | null;
}

const DAY_MS = 86_400_000;
/** `last_used` is no older than this when it is in use: not every request is worth a write. */
const LAST_USED_STEP_MS = 60_000;
/** Tokens that ended longer ago than this are forgotten; the audit log still has them. */
const ENDED_KEPT_MS = 400 * DAY_MS;

/** Who made a credential that an agent got for itself. */
const ENROLMENT = 'enrolment';

const LETTERS: Record<TokenKind, SecretLetter> = { person: 'p', enrolment: 'e', agent: 'a' };

export class TokenStore {
  readonly #database: DatabaseSync;
  readonly #tokens: Tokens;
  readonly #audit: AuditLog;
  readonly #now: () => number;
  readonly #dataVersion: StatementSync;
  readonly #lastUsed = new Map<string, number>();
  readonly #listeners: ((ended: EndedToken) => void)[] = [];
  readonly #reported: Set<string>;
  #seenVersion: unknown;
  /** Null: to be counted again. `version` is the database's, as another process may have changed it. */
  #credentials: { count: number; version: unknown } | null = null;
  #expiryCheckedMs: number;

  constructor(database: DatabaseSync, audit: AuditLog, now: () => number) {
    this.#database = database;
    this.#tokens = new Tokens(database);
    this.#audit = audit;
    this.#now = now;
    this.#tokens.forgetBefore(now() - ENDED_KEPT_MS);
    this.#reported = new Set(this.#tokens.revoked().map(({ id }) => id));
    this.#expiryCheckedMs = now();
    // Changes when another connection has committed (https://www.sqlite.org/pragma.html#pragma_data_version).
    this.#dataVersion = database.prepare('PRAGMA data_version');
    this.#seenVersion = this.#dataVersion.get()?.['data_version'];
  }

  list(): Token[] {
    return this.#tokens
      .all()
      .map((token) => toToken({ ...token, lastUsedMs: this.#lastUsed.get(token.id) ?? token.lastUsedMs }));
  }

  /** The secret is in no other place than this result. Throws `OperatorError` for what makes no token. */
  create(request: NewToken, by: Actor): { token: Token; secret: string } {
    const { kind, name } = request;
    const role = kind === 'person' ? request.role : undefined;
    const hostId = kind === 'agent' ? request.host_id : undefined;
    if (kind === 'person' && role === undefined) {
      throw new OperatorError(2, 'A token for a person needs a role: viewer or admin.');
    }
    if (kind === 'agent' && hostId === undefined) {
      throw new OperatorError(
        2,
        'A token for an agent needs host_id, the id of the host that it speaks for.',
      );
    }
    if (name.startsWith(COMMAND_PREFIX)) {
      throw new OperatorError(
        2,
        `A token cannot be called "${COMMAND_PREFIX}…": the audit log calls commands so.`,
      );
    }
    const now = this.#now();
    if (kind === 'agent') this.#credentials = null;
    const secret = newSecret(LETTERS[kind]);
    const row: TokenRow = {
      id: randomUUID(),
      kind,
      name,
      role: role ?? null,
      hostId: hostId ?? null,
      createdMs: now,
      createdBy: by.name,
      enrolled: 0,
      expiresMs: request.expires_days === undefined ? null : now + request.expires_days * DAY_MS,
      lastUsedMs: null,
      revokedMs: null,
      enrolmentKeyHash: null,
    };
    transaction(this.#database, () => {
      if (hostId !== undefined) this.#makeRoomFor(hostId, now);
      this.#insert(row, secret);
      this.#appendToAudit(by, 'token.create', row.id, describe(row));
    });
    return { token: toToken(row), secret };
  }

  /** False when there is no such token, or it was revoked before. */
  revoke(id: string, by: Actor): boolean {
    const row = this.#tokens.byId(id);
    if (row === null) return false;
    this.#credentials = null;
    const revoked = transaction(this.#database, () => {
      const changed = this.#tokens.revoke(id, this.#now());
      if (changed) this.#appendToAudit(by, 'token.revoke', id, describe(row));
      return changed;
    });
    if (revoked) this.#reportEnded(row);
    return revoked;
  }

  /** The host's credential, unless it is revoked. It may have expired. */
  credentialOf(hostId: string): TokenRow | null {
    const row = this.#tokens.ofHost(hostId);
    return row === null ? null : { ...row, lastUsedMs: this.#lastUsed.get(row.id) ?? row.lastUsedMs };
  }

  /** Credentials of agents that are not revoked. */
  credentialCount(): number {
    const version = this.#dataVersion.get()?.['data_version'];
    if (this.#credentials === null || this.#credentials.version !== version) {
      this.#credentials = { count: this.#tokens.credentialCount(), version };
    }
    return this.#credentials.count;
  }

  /** For an agent that has enrolled: a credential for a host that has none, or another secret for the one it has. */
  issue(hostId: string, replaced: TokenRow | null, claim: EnrolmentClaim): string {
    const { enrolmentKey = null, sourceAddress = null } = claim;
    const now = this.#now();
    const secret = newSecret('a');
    const by: Actor = { name: ENROLMENT, sourceAddress };
    transaction(this.#database, () => {
      if (replaced === null) {
        const row: TokenRow = {
          id: randomUUID(),
          kind: 'agent',
          name: hostId.slice(0, 100),
          role: null,
          hostId,
          createdMs: now,
          createdBy: by.name,
          enrolled: 1,
          expiresMs: null,
          lastUsedMs: null,
          revokedMs: null,
          enrolmentKeyHash: enrolmentKey === null ? null : secretHash(enrolmentKey),
        };
        this.#insert(row, secret);
        this.#appendToAudit(by, 'credential.issue', row.id, describe(row));
      } else {
        this.#tokens.replaceSecret(replaced.id, secretHash(secret), by.name, now);
        this.#appendToAudit(by, 'credential.renew', replaced.id, describe(replaced));
      }
    });
    if (replaced !== null) this.#lastUsed.delete(replaced.id);
    else if (this.#credentials !== null) this.#credentials.count += 1;
    return secret;
  }

  /** The valid token that this is the secret of. */
  find(secret: string, kind: TokenKind): TokenRow | null {
    if (letterOf(secret) !== LETTERS[kind]) return null;
    const row = this.#tokens.byHash(secretHash(secret), this.#now());
    if (row === null || row.kind !== kind) return null;
    const now = this.#now();
    const last = this.#lastUsed.get(row.id) ?? row.lastUsedMs;
    if (last === null || Math.abs(now - last) >= LAST_USED_STEP_MS) this.#lastUsed.set(row.id, now);
    return row;
  }

  onEnded(listener: (ended: EndedToken) => void): void {
    this.#listeners.push(listener);
  }

  /** Tells of what expired, and of what a command in another process revoked, since the last time. */
  poll(): void {
    const now = this.#now();
    const expired = this.#tokens.expiredBetween(Math.min(this.#expiryCheckedMs, now), now);
    this.#expiryCheckedMs = now;
    for (const row of expired) this.#reportEnded(row);
    const version = this.#dataVersion.get()?.['data_version'];
    if (version === this.#seenVersion) return;
    this.#seenVersion = version;
    for (const row of this.#tokens.revoked()) if (!this.#reported.has(row.id)) this.#reportEnded(row);
  }

  /** Puts when tokens were last used into the database, all in one transaction. */
  flush(): void {
    if (this.#lastUsed.size === 0) return;
    transaction(this.#database, () => {
      for (const [id, ms] of this.#lastUsed) this.#tokens.used(id, ms);
    });
    this.#lastUsed.clear();
  }

  #insert(row: TokenRow, secret: string): void {
    const { lastUsedMs: _, revokedMs: __, ...token } = row;
    this.#tokens.insert({ ...token, hash: secretHash(secret) });
  }

  #makeRoomFor(hostId: string, now: number): void {
    const existing = this.#tokens.ofHost(hostId);
    if (existing === null) return;
    this.#credentials = null;
    if (existing.expiresMs === null || existing.expiresMs > now) {
      throw new OperatorError(
        1,
        `The host ${hostId} has a credential already (${existing.id}). Revoke it first: "imdswatch token revoke ${existing.id}".`,
      );
    }
    this.#tokens.revoke(existing.id, now);
    this.#reported.add(existing.id); // it was told of when it expired
  }

  #appendToAudit({ name, sourceAddress }: Actor, action: string, subject: string, detail: string): void {
    this.#audit.append({ actor: name, action, subject, detail, source_address: sourceAddress }, this.#now());
  }

  #reportEnded({ id, kind, hostId }: TokenRow): void {
    this.#reported.add(id);
    for (const listener of this.#listeners) listener({ id, kind, hostId });
  }
}

function describe({ kind, name, role, hostId, expiresMs }: TokenRow): string {
  const parts = [`${kind} "${name}"`];
  if (role !== null) parts.push(`role ${role}`);
  if (hostId !== null) parts.push(`host ${hostId}`);
  if (expiresMs !== null) parts.push(`expires ${new Date(expiresMs).toISOString()}`);
  return parts.join(', ');
}
