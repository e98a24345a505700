/**
 * Destinations of alerts. They are in the admin database, so that a command beside the collector can change
 * and test them too.
 */
import { randomUUID } from 'node:crypto';
import { OperatorError } from '../../common/operator_error.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import type { DestinationRow } from '../admin/alerts.ts';
import type {
  Destination,
  DestinationChange,
  DestinationConfig,
  NewDestination,
} from '../contract/destination.ts';
import { toTimestamp } from '../store/time.ts';
import { HttpSender } from './http/http_sender.ts';
import { prepare } from './http/prepared.ts';
import { isRefused } from './refused_addresses.ts';
import { type SendOptions, type SendResult, send } from './send.ts';
import { testAlert } from './test_alert.ts';

/** Each may hold 1,000 waiting alerts. */
const MAX_DESTINATIONS = 100;

export interface DestinationsOptions {
  /** Milliseconds since 1970. */
  now?: () => number;
  sending?: SendOptions;
}

export class Destinations {
  readonly #admin: Pick<AdminStore, 'alerts' | 'transaction'>;
  readonly #rows: AdminStore['alerts'];
  readonly #now: () => number;
  readonly #sending: SendOptions;

  constructor(
    admin: Pick<AdminStore, 'alerts' | 'transaction'>,
    { now = Date.now, sending = {} }: DestinationsOptions = {},
  ) {
    this.#admin = admin;
    this.#rows = admin.alerts;
    this.#now = now;
    this.#sending = sending;
  }

  /** Returns the destinations sorted by name. */
  async list(): Promise<Destination[]> {
    return Promise.all((await this.#rows.destinations()).map(withoutSecrets));
  }

  /** Finds a destination by its id or its name. Returns null if there is none. */
  async find(idOrName: string): Promise<Destination | null> {
    return (await this.list()).find(({ id, name }) => id === idOrName || name === idOrName) ?? null;
  }

  /** Throws `OperatorError` (2) if the name is taken, or if nothing may be sent to this address. */
  async add(given: NewDestination): Promise<Destination> {
    const { name, enabled, rules, send_resolved: sendResolved, config } = given;
    const isForPeople = await checkConfig(config);
    const digest = given.digest ?? isForPeople;
    return this.#admin.transaction('alerts', async ({ alerts }) => {
      const existing = await alerts.destinations();
      if (existing.length >= MAX_DESTINATIONS) {
        throw new OperatorError(
          2,
          `There are ${MAX_DESTINATIONS} alert destinations already, which is the limit. Remove one first.`,
        );
      }
      refuseTaken(existing, name, null);
      const id = randomUUID();
      const createdUs = this.#now() * 1000;
      await alerts.addDestination({ id, name, enabled, rules, digest, sendResolved, config, createdUs });
      return withoutSecrets((await rowOf(alerts, id))!);
    });
  }

  /** Returns null if no destination has this id. Throws `OperatorError` as `add` does. */
  async change(id: string, change: DestinationChange): Promise<Destination | null> {
    if (change.config !== undefined) await checkConfig(change.config);
    return this.#admin.transaction('alerts', async ({ alerts }) => {
      const existing = await alerts.destinations();
      const row = existing.find((candidate) => candidate.id === id);
      if (row === undefined) return null;
      const { name = row.name, enabled = row.enabled, rules = row.rules, config = row.config } = change;
      refuseTaken(existing, name, id);
      const { digest = row.digest, send_resolved: sendResolved = row.sendResolved } = change;
      await alerts.changeDestination({ ...row, name, enabled, rules, digest, sendResolved, config });
      return withoutSecrets((await rowOf(alerts, id))!);
    });
  }

  /** Returns false if no destination has this id. */
  remove(id: string): Promise<boolean> {
    return this.#rows.removeDestination(id);
  }

  /** Sends a test alert now, also to a destination that is switched off. Rejects if the database fails. */
  async sendTest(id: string, link: string | null): Promise<SendResult> {
    const row = await rowOf(this.#rows, id);
    if (row === undefined) {
      const error = 'there is no alert destination with this id';
      return { ok: false, error, next: 'refused', retryAfterMs: null };
    }
    const alert = testAlert(row.name, row.rules[0]!, this.#now() * 1000, link);
    const result = await send(row.config, alert, this.#sending);
    if (result.ok) await this.#rows.noteDelivered(id, this.#now() * 1000);
    else await this.#rows.noteError(id, result.error);
    return result;
  }
}

async function rowOf(alerts: AdminStore['alerts'], id: string): Promise<DestinationRow | undefined> {
  return (await alerts.destinations()).find((candidate) => candidate.id === id);
}

/** Returns the address of a destination without secrets. The path of a URL is a secret. */
async function targetOf(config: DestinationConfig): Promise<string> {
  switch (config.kind) {
    case 'http':
      try {
        return (await prepare(config)).target;
      } catch (error) {
        // A preset of another release, or one that has changed.
        if (error instanceof OperatorError) return error.message;
        throw error;
      }
    case 'syslog':
      return `${config.host}:${config.port} (${config.transport})`;
    case 'email':
      return `${config.to.join(', ')} by ${config.host}:${config.port}`;
  }
}

async function withoutSecrets(row: DestinationRow): Promise<Destination> {
  return {
    id: row.id,
    name: row.name,
    enabled: row.enabled,
    rules: row.rules,
    digest: row.digest,
    send_resolved: row.sendResolved,
    kind: row.config.kind,
    preset: row.config.kind === 'http' ? row.config.preset : null,
    target: await targetOf(row.config),
    created: toTimestamp(row.createdUs),
    last_delivered: row.lastDeliveredUs === null ? null : toTimestamp(row.lastDeliveredUs),
    last_error: row.lastError,
    waiting: row.waiting,
    given_up: row.givenUp,
    last_given_up: row.givenUpUs === null ? null : toTimestamp(row.givenUpUs),
    given_up_reason: row.givenUpReason,
  };
}

function refuseTaken(existing: readonly DestinationRow[], name: string, except: string | null): void {
  if (existing.some((other) => other.name === name && other.id !== except)) {
    throw new OperatorError(
      2,
      `An alert destination named ${JSON.stringify(name)} exists already. Choose another name.`,
    );
  }
}

/**
 * Throws `OperatorError` (2) for configurations that are wrong or unsafe in themselves. Host names are resolved and checked
 * at every connection. Returns whether such a destination is for people, who get summaries.
 */
async function checkConfig(config: DestinationConfig): Promise<boolean> {
  if (config.kind !== 'http') {
    refuseUnsafe(config.host);
    if (config.kind === 'email') checkPassword(config);
    return config.kind === 'email';
  }
  const prepared = await prepare(config);
  for (const host of prepared.hosts) refuseUnsafe(host);
  HttpSender.check(prepared, testAlert('test', 'new_offender', 0, null));
  return prepared.preset.digest;
}

function refuseUnsafe(host: string): void {
  const bare = host.replace(/^\[|\]$/g, '');
  if (!isRefused(bare)) return;
  throw new OperatorError(
    2,
    `${bare} is a link-local address or the address of a cloud's metadata service. Alerts are never sent there. Set another host.`,
  );
}

function checkPassword(config: Extract<DestinationConfig, { kind: 'email' }>): void {
  if ((config.username === null) !== (config.password === null)) {
    throw new OperatorError(
      2,
      'An email destination needs both username and password, or neither. Set the missing one or remove the other.',
    );
  }
  if (config.security === 'none' && config.password !== null) {
    throw new OperatorError(
      2,
      'An email destination with "security: none" would send its password unencrypted. Use starttls or tls, or a relay that needs no password.',
    );
  }
}
