/** Creates, lists, finds and revokes tokens, and reports tokens that are no longer valid to listeners. */
import { randomUUID } from 'node:crypto';
import { OperatorError } from '../../common/operator_error.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import type { AuditDraft } from '../admin/audit_log.ts';
import { type TokenRow, toToken } from '../admin/tokens.ts';
import type { NewToken, Token, TokenKind } from '../contract/administration.ts';
import { scopeText } from '../contract/host_scope_text.ts';
import { type Actor, COMMAND_PREFIX, checkScope } from './principal.ts';
import { letterOf, newSecret, type SecretLetter, secretHash } from './secret.ts';

/** Proof that an agent sends together with an enrolment token. */
export interface EnrolmentClaim {
  /** Secret that the agent made before it enrolled. Null or missing for agents of older releases. */
  enrolmentKey?: string | null;
  sourceAddress?: string | null;
}

/** A credential that an agent gets by enrolment. `replaced`: the one that its host had. */
export interface IssuedCredential {
  hostId: string;
  replaced: TokenRow | null;
  claim: EnrolmentClaim;
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
  readonly #now: () => number;
  readonly #lastUsed = new Map<string, number>();
  readonly #listeners: ((ended: EndedToken) => void)[] = [];
  /** Ids of the revoked tokens that listeners know of, or that ended before they were revoked. */
  readonly #reported = new Set<string>();
  #seenVersion = '';
  /**
   * Null until counted. `version` is that of the database, which another process may change. It is used in transactions
   * about access alone, which run one after the other.
   */
  #credentials: { count: number; version: string } | null = null;
  #expiryCheckedMs: number;

  private constructor(admin: AdminStore, now: () => number) {
    this.#admin = admin;
    this.#tokens = admin.tokens;
    this.#now = now;
    this.#expiryCheckedMs = now();
  }

  static async open(admin: AdminStore, now: () => number): Promise<TokenStore> {
    const store = new TokenStore(admin, now);
    await admin.transaction('access', ({ tokens }) => tokens.forgetBefore(now() - ENDED_KEPT_MS));
    // The next poll sees what changes after this.
    store.#seenVersion = await admin.version('revocations');
    for (const { id } of await admin.tokens.revoked()) store.#reported.add(id);
    return store;
  }

  async list(): Promise<Token[]> {
    const tokens = await this.#tokens.all();
    return tokens.map((token) =>
      toToken({ ...token, lastUsedMs: this.#lastUsed.get(token.id) ?? token.lastUsedMs }),
    );
  }

  /**
   * The secret is only in this result, it is not stored. Throws `OperatorError` if the request is not valid.
   */
  async create(request: NewToken, by: Actor): Promise<{ token: Token; secret: string }> {
    const { kind, name } = request;
    const role = kind === 'person' ? request.role : undefined;
    const scope = request.scope ?? null;
    const hostId = kind === 'agent' ? request.host_id : undefined;
    if (kind === 'person' && role === undefined) {
      throw new OperatorError(2, 'A token for a person needs a role: viewer, auditor or admin.');
    }
    checkScope(scope, role);
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
    const secret = newSecret(LETTERS[kind]);
    const row: TokenRow = {
      id: randomUUID(),
      kind,
      name,
      role: role ?? null,
      scope,
      hostId: hostId ?? null,
      createdMs: now,
      createdBy: by.name,
      enrolled: 0,
      expiresMs: request.expires_days === undefined ? null : now + request.expires_days * DAY_MS,
      lastUsedMs: null,
      revokedMs: null,
      enrolmentKeyHash: null,
    };
    await this.#admin.transaction('access', async (store) => {
      if (kind === 'agent') this.#credentials = null;
      if (hostId !== undefined) await this.#makeRoomFor(store, hostId, now);
      await insert(store, row, secret);
      await this.#appendToAudit(store, by, 'token.create', row.id, describe(row));
    });
    return { token: toToken(row), secret };
  }

  /** Returns false if there is no such token, or if it was revoked before. */
  async revoke(id: string, by: Actor): Promise<boolean> {
    const revoked = await this.#admin.transaction('access', async (store) => {
      this.#credentials = null;
      const row = await store.tokens.byId(id);
      if (row === null || !(await store.tokens.revoke(id, this.#now()))) return null;
      await this.#appendToAudit(store, by, 'token.revoke', id, describe(row));
      return row;
    });
    if (revoked === null) return false;
    this.#reportRevoked(revoked);
    return true;
  }

  /** Returns the credential of a host unless it is revoked. It may have expired. */
  async credentialOf(
    hostId: string,
    { tokens }: Pick<AdminStore, 'tokens'> = this.#admin,
  ): Promise<TokenRow | null> {
    const row = await tokens.ofHost(hostId);
    return row === null ? null : { ...row, lastUsedMs: this.#lastUsed.get(row.id) ?? row.lastUsedMs };
  }

  /** Returns the number of agents' credentials that are not revoked. `store`: a transaction about access. */
  async credentialCount(store: AdminStore): Promise<number> {
    const version = await store.version('credentials');
    if (this.#credentials === null || this.#credentials.version !== version) {
      this.#credentials = { count: await store.tokens.credentialCount(), version };
    }
    return this.#credentials.count;
  }

  /** Returns the same for many hosts. */
  async credentialsOf(
    hostIds: readonly string[],
    { tokens }: Pick<AdminStore, 'tokens'>,
  ): Promise<Map<string, TokenRow>> {
    return new Map((await tokens.ofHosts(hostIds)).map((row) => [row.hostId!, row]));
  }

  /**
   * Issues credentials, and returns their secrets by host. `store`: the transaction about access in which it was read
   * what the hosts have.
   */
  async issue(store: AdminStore, credentials: readonly IssuedCredential[]): Promise<Map<string, string>> {
    const now = this.#now();
    const secrets = new Map<string, string>();
    const added: Parameters<AdminStore['tokens']['insertAll']>[0][number][] = [];
    const entries: AuditDraft[] = [];
    for (const { hostId, replaced, claim } of credentials) {
      const { enrolmentKey = null, sourceAddress = null } = claim;
      const secret = newSecret('a');
      const hash = secretHash(secret);
      secrets.set(hostId, secret);
      const action = replaced === null ? 'credential.issue' : 'credential.renew';
      const row = replaced ?? {
        ...newCredential(hostId, now),
        enrolmentKeyHash: enrolmentKey === null ? null : secretHash(enrolmentKey),
      };
      const detail = describe(row);
      entries.push({ actor: ENROLMENT, action, subject: row.id, detail, source_address: sourceAddress });
      if (replaced === null) added.push({ ...row, hash });
      else {
        await store.tokens.replaceSecret(replaced.id, hash, ENROLMENT, now);
        this.#lastUsed.delete(replaced.id);
      }
    }
    await store.tokens.insertAll(added);
    await store.auditLog.appendAll(entries, now);
    if (this.#credentials !== null) {
      // Nobody else changes credentials until the end of the transaction.
      const count = this.#credentials.count + added.length;
      this.#credentials = { count, version: await store.version('credentials') };
    }
    return secrets;
  }

  /** Counts the credentials anew, because a transaction in which some were issued was not stored. */
  onNotStored(): void {
    this.#credentials = null;
  }

  /** Returns the valid token of this kind that has this secret, or null. */
  async find(secret: string, kind: TokenKind): Promise<TokenRow | null> {
    if (letterOf(secret) !== LETTERS[kind]) return null;
    const row = await this.#tokens.byHash(secretHash(secret), this.#now());
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
  async poll(): Promise<void> {
    const now = this.#now();
    const expired = await this.#tokens.expiredBetween(Math.min(this.#expiryCheckedMs, now), now);
    this.#expiryCheckedMs = now;
    for (const row of expired) this.#notify(row);
    const version = await this.#admin.version('revocations');
    if (version === this.#seenVersion) return;
    const revoked = await this.#tokens.revoked();
    this.#seenVersion = version;
    for (const row of revoked) this.#reportRevoked(row);
  }

  /** Stores when tokens were last used, all in one transaction. */
  async flush(): Promise<void> {
    if (this.#lastUsed.size === 0) return;
    const stored = [...this.#lastUsed];
    await this.#admin.transaction('access', ({ tokens }) => tokens.used(stored));
    // A token that was used again meanwhile is stored next time.
    for (const [id, ms] of stored) if (this.#lastUsed.get(id) === ms) this.#lastUsed.delete(id);
  }

  async #makeRoomFor({ tokens }: AdminStore, hostId: string, now: number): Promise<void> {
    const existing = await tokens.ofHost(hostId);
    if (existing === null) return;
    if (existing.expiresMs === null || existing.expiresMs > now) {
      throw new OperatorError(
        1,
        `The host ${hostId} has a credential already (${existing.id}). Revoke it first: "imdswatch token revoke ${existing.id}".`,
      );
    }
    await tokens.revoke(existing.id, now);
  }

  async #appendToAudit(
    { auditLog }: AdminStore,
    { name, sourceAddress }: Actor,
    action: string,
    subject: string,
    detail: string,
  ): Promise<void> {
    const entry = { actor: name, action, subject, detail, source_address: sourceAddress };
    await auditLog.appendAll([entry], this.#now());
  }

  #reportRevoked(row: TokenRow): void {
    if (this.#reported.has(row.id)) return;
    this.#reported.add(row.id);
    const { expiresMs, revokedMs } = row;
    // It was reported when it expired.
    if (expiresMs !== null && revokedMs !== null && expiresMs <= revokedMs) return;
    this.#notify(row);
  }

  #notify({ id, kind, hostId }: TokenRow): void {
    for (const listener of this.#listeners) listener({ id, kind, hostId });
  }
}

async function insert({ tokens }: AdminStore, row: TokenRow, secret: string): Promise<void> {
  const { lastUsedMs: _, revokedMs: __, ...token } = row;
  await tokens.insertAll([{ ...token, hash: secretHash(secret) }]);
}

/** Returns the row of a credential that an agent gets by enrolment. */
function newCredential(hostId: string, nowMs: number): TokenRow {
  return {
    id: randomUUID(),
    kind: 'agent',
    name: hostId.slice(0, 100),
    role: null,
    scope: null,
    hostId,
    createdMs: nowMs,
    createdBy: ENROLMENT,
    enrolled: 1,
    expiresMs: null,
    lastUsedMs: null,
    revokedMs: null,
    enrolmentKeyHash: null,
  };
}

function describe({ kind, name, role, scope, hostId, expiresMs }: TokenRow): string {
  const parts = [`${kind} "${name}"`];
  if (role !== null) parts.push(`role ${role}`);
  if (scope !== null) parts.push(`scope ${scopeText(scope)}`);
  if (hostId !== null) parts.push(`host ${hostId}`);
  if (expiresMs !== null) parts.push(`expires ${new Date(expiresMs).toISOString()}`);
  return parts.join(', ');
}
