/** `Access` over a database of its own, with a clock that the test sets. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Access, type AccessOptions } from '../../../../collector/access/access.ts';
import type { Actor, Principal } from '../../../../collector/access/principal.ts';
import { NO_PROXY } from '../../../../collector/access/proxy_identity.ts';
import type { SignedIn } from '../../../../collector/access/session_opener.ts';
import type { EndedToken } from '../../../../collector/access/token_store.ts';
import type { PresentedCredentials } from '../../../../collector/access/user_authenticator.ts';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;
export const ADMIN: Actor = { name: 'root of the test', sourceAddress: '192.0.2.1' };

export class AccessBench {
  readonly directory = mkdtempSync(join(tmpdir(), 'imdswatch-access-'));
  readonly lines: string[] = [];
  readonly ended: EndedToken[] = [];
  readonly admin = openAdmin(this.directory);
  readonly store = new SqliteAdminStore(this.admin);
  #access: Access | null = null;
  nowMs = Date.parse('2026-11-22T08:00:00Z');

  static async open(options: Partial<AccessOptions> = {}): Promise<AccessBench> {
    const bench = new AccessBench();
    const log = pino({ level: 'trace' }, { write: (line: string) => bench.lines.push(line) });
    const given: AccessOptions = {
      agentToken: null,
      agentTokenHost: null,
      proxy: NO_PROXY,
      secure: false,
      publicUrl: null,
      ...options,
    };
    bench.#access = await Access.open(bench.store, given, log, () => bench.nowMs);
    bench.access.onTokenEnded((ended) => bench.ended.push(ended));
    return bench;
  }

  get access(): Access {
    return this.#access!;
  }

  async close(): Promise<void> {
    await this.access.close();
    this.admin.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  person(role: 'viewer' | 'admin' = 'viewer', expires_days?: number) {
    return this.access.createToken({ kind: 'person', name: 'alice', role, expires_days }, ADMIN);
  }

  identifyUser(credentials: Partial<PresentedCredentials>): Promise<Principal | null> {
    return this.access.identifyUser({
      authorization: null,
      cookie: null,
      headers: {},
      remoteAddress: '192.0.2.7',
      ...credentials,
    });
  }

  bySession(session: string): Promise<Principal | null> {
    return this.identifyUser({ cookie: `${this.access.cookie.name}=${session}` });
  }

  async signIn(secret: string, from = '192.0.2.7'): Promise<SignedIn> {
    const result = await this.access.signIn(secret, from);
    if (result === null || 'retryAfterSeconds' in result) throw new Error('was not signed in');
    return result;
  }

  agent(token: string | null): ReturnType<Access['identifyAgent']> {
    const headers = token === null ? {} : { authorization: `Bearer ${token}` };
    return this.access.identifyAgent({ socket: new Socket(), headers } as IncomingMessage);
  }

  /** Returns every byte of the data directory and of the log, as text in which ASCII secrets can be found. */
  everythingWritten(): string {
    const files = readdirSync(this.directory).map((name) =>
      readFileSync(join(this.directory, name), 'latin1'),
    );
    return [...files, ...this.lines].join('\n');
  }
}

/** Does some work with a clock that it sets. */
export async function timed(work: (bench: AccessBench) => Promise<void>): Promise<void> {
  const bench = await AccessBench.open();
  try {
    await work(bench);
  } finally {
    await bench.close();
  }
}
