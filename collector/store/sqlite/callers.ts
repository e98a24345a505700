/** Who calls, said once: callers, their identities and user agents as rows that calls refer to. */
import { hash } from 'node:crypto';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Call } from '../../../protocol/call.ts';
import type { Rollup } from '../../../protocol/records.ts';

const MAX_CACHED = 4096;

export interface CallerRows {
  caller: number;
  identity: number;
}

export class Callers {
  readonly #insertIdentity: StatementSync;
  readonly #insertCaller: StatementSync;
  readonly #insertUserAgent: StatementSync;
  readonly #callers = new Map<string, CallerRows>();
  readonly #userAgents = new Map<string, number>();

  constructor(database: DatabaseSync) {
    // An update that changes nothing makes RETURNING give the row that is there.
    this.#insertIdentity = database.prepare(
      `INSERT INTO identities (key, attributed, executable, name, script, user, uid, host_id, source_address)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET key = key RETURNING id`,
    );
    this.#insertCaller = database.prepare(
      `INSERT INTO callers (hash, identity, facts) VALUES (?, ?, ?)
       ON CONFLICT (hash) DO UPDATE SET hash = hash RETURNING id, identity`,
    );
    this.#insertUserAgent = database.prepare(
      'INSERT INTO user_agents (text) VALUES (?) ON CONFLICT (text) DO UPDATE SET text = text RETURNING id',
    );
  }

  rowsOf(from: Call | Rollup): CallerRows {
    const { process, container, k8s, systemd, host } = from;
    const facts = JSON.stringify({
      process,
      container,
      k8s,
      systemd,
      'attribution.method': from['attribution.method'],
      'attribution.confidence': from['attribution.confidence'],
    });
    const where = process === null ? from['source.address'] : '';
    const key = hash('sha256', JSON.stringify([host.id, where, facts]), 'base64');
    const known = this.#callers.get(key);
    if (known !== undefined) return known;
    const identity = this.#identityOf(from);
    const row = this.#insertCaller.get(Buffer.from(key, 'base64'), identity, facts)!;
    return remember(this.#callers, key, { caller: Number(row['id']), identity: Number(row['identity']) });
  }

  #identityOf({ process, host, 'source.address': source }: Call | Rollup): number {
    let row: Record<string, unknown> | undefined;
    if (process === null) {
      const key = JSON.stringify(['unattributed', host.id, source]);
      row = this.#insertIdentity.get(key, 0, null, null, null, null, null, host.id, source);
    } else {
      const { name, script, 'executable.path': executable, 'owner.uid': uid, 'owner.name': user } = process;
      // A process that was gone before its executable could be read still has its short name.
      const program = executable === null ? ['name', name] : ['executable', executable];
      const key = JSON.stringify([...program, script, user ?? uid]);
      row = this.#insertIdentity.get(key, 1, executable, name, script, user, uid, null, null);
    }
    return Number(row!['id']);
  }

  userAgent(text: string | null): number | null {
    if (text === null) return null;
    const known = this.#userAgents.get(text);
    if (known !== undefined) return known;
    return remember(this.#userAgents, text, Number(this.#insertUserAgent.get(text)!['id']));
  }

  /** After a rollback, rows that were remembered may not exist. */
  forget(): void {
    this.#callers.clear();
    this.#userAgents.clear();
  }
}

function remember<T>(cache: Map<string, T>, key: string, value: T): T {
  if (cache.size >= MAX_CACHED) cache.delete(cache.keys().next().value!);
  cache.set(key, value);
  return value;
}
