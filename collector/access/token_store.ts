/** Creates, lists, finds and revokes tokens, and reports tokens that are no longer valid to listeners. */
import { randomUUID } from 'node:crypto';
import { OperatorError } from '../../common/operator_error.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import { type TokenRow, toToken } from '../admin/tokens.ts';
import type { NewToken, Token, TokenKind } from '../contract/administration.ts';
import { type Actor, COMMAND_PREFIX } from './principal.ts';
import { letterOf, newSecret, type SecretLetter, secretHash } from './secret.ts';

/** Proof that an agent sends together with an enrolment token. */
export interface EnrolmentClaim {
  /** Secret that the agent made before it enrolled. Null or missing for agents of older releases. */
  enrolmentKey?: string | null;
  sourceAddress?: string | null;
}

/**
 * A token that is no longer valid: it was revoked, here or by a command in another process, or it expired.
 */
export interface EndedToken {
  id: string;
  kind: TokenKind;
  /** Host of an agent's credential. Connections that use this credential for the host must be closed. */
  hostId: string | null;
}

const DAY_MS = 86_400_000;
/** Accuracy of `last_used`: not every request is worth a write. */
const LAST_USED_STEP_MS = 60_000;
/** Tokens that ended longer ago than this are deleted. The audit log still has them. */
const ENDED_KEPT_MS = 400 * DAY_MS;

/** Creator, in the audit log, of a credential that an agent got by enrolment. */
const ENROLMENT = 'enrolment';

const LETTERS: Record<TokenKind, SecretLetter> = { person: 'p', enrolment: 'e', agent: 'a' };

export class TokenStore {
  readonly #admin: AdminStore;
  readonly #tokens: AdminStore['tokens'];
  readonly #audit: AdminStore['auditLog'];
  readonly #now: () => number;
  readonly #lastUsed = new Map<string, number>();
  readonly #listeners: ((ended: EndedToken) => void)[] = [];
  readonly #reported: Set<string>;
  #seenVersion: unknown;
  /** Null until counted. `version` is that of the database, which another process may change. */
  #credentials: { count: number; version: unknown } | null = null;
  #expiryCheckedMs: number;

  constructor(admin: AdminStore, now: () => number) {
    this.#admin = admin;
    this.#tokens = admin.tokens;
    this.#audit = admin.auditLog;
    this.#now = now;
    this.#tokens.forgetBefore(now() - ENDED_KEPT_MS);
    this.#reported = new Set(this.#tokens.revoked().map(({ id }) => id));
    this.#expiryCheckedMs = now();
    this.#seenVersion = this.#admin.foreignVersion();
  }

  list(): Token[] {
    return this.#tokens
      .all()
      .map((token) => toToken({ ...token, lastUsedMs: this.#lastUsed.get(token.id) ?? token.lastUsedMs }));
  }

  /**
   * The secret is only in this result, it is not stored. Throws `OperatorError` if the request is not valid.
   */
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
        'A token for an agent needs host_id, the id of the host that the agent reports for.',
      );
    }
    if (name.startsWith(COMMAND_PREFIX)) {
      throw new OperatorError(
        2,
        `The name of a token cannot begin with "${COMMAND_PREFIX}", which the audit log uses for commands. Choose another name.`,
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
    this.#admin.transaction(() => {
      if (hostId !== undefined) this.#makeRoomFor(hostId, now);
      this.#insert(row, secret);
      this.#appendToAudit(by, 'token.create', row.id, describe(row));
    });
    return { token: toToken(row), secret };
  }

  /** Returns false if there is no such token, or if it was revoked before. */
  revoke(id: string, by: Actor): boolean {
    const row = this.#tokens.byId(id);
    if (row === null) return false;
    this.#credentials = null;
    const revoked = this.#admin.transaction(() => {
      const changed = this.#tokens.revoke(id, this.#now());
      if (changed) this.#appendToAudit(by, 'token.revoke', id, describe(row));
      return changed;
    });
    if (revoked) this.#reportEnded(row);
    return revoked;
  }

  /** Returns the credential of a host unless it is revoked. It may have expired. */
  credentialOf(hostId: string): TokenRow | null {
    const row = this.#tokens.ofHost(hostId);
    return row === null ? null : { ...row, lastUsedMs: this.#lastUsed.get(row.id) ?? row.lastUsedMs };
  }

  /** Returns the number of agents' credentials that are not revoked. */
  credentialCount(): number {
    const version = this.#admin.foreignVersion();
    if (this.#credentials === null || this.#credentials.version !== version) {
      this.#credentials = { count: this.#tokens.credentialCount(), version };
    }
    return this.#credentials.count;
  }

  /** Issues a credential for a host that has none, or a new secret for the credential `replaced`. */
  issue(hostId: string, replaced: TokenRow | null, claim: EnrolmentClaim): string {
    const { enrolmentKey = null, sourceAddress = null } = claim;
    const now = this.#now();
    const secret = newSecret('a');
    const by: Actor = { name: ENROLMENT, sourceAddress };
    this.#admin.transaction(() => {
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

  /** Returns the valid token of this kind that has this secret, or null. */
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

  /** Reports tokens that expired, or that another process revoked, since the last call. */
  poll(): void {
    const now = this.#now();
    const expired = this.#tokens.expiredBetween(Math.min(this.#expiryCheckedMs, now), now);
    this.#expiryCheckedMs = now;
    for (const row of expired) this.#reportEnded(row);
    const version = this.#admin.foreignVersion();
    if (version === this.#seenVersion) return;
    this.#seenVersion = version;
    for (const row of this.#tokens.revoked()) if (!this.#reported.has(row.id)) this.#reportEnded(row);
  }

  /** Stores when tokens were last used, all in one transaction. */
  flush(): void {
    if (this.#lastUsed.size === 0) return;
    this.#admin.transaction(() => {
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
    this.#reported.add(existing.id); // It was reported when it expired.
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
