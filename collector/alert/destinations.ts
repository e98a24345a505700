/**
 * Destinations of alerts. They are in the admin database, so that a command beside the collector can change
 * and test them too.
 */
import { randomUUID } from 'node:crypto';
import { bareHost } from '../../common/host_address.ts';
import { OperatorError } from '../../common/operator_error.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import type { DestinationRow } from '../admin/destination_row.ts';
import type { CursorRow } from '../admin/stream_cursors.ts';
import { alertRule } from '../contract/alert.ts';
import type {
  Destination,
  DestinationChange,
  DestinationConfig,
  DestinationOwners,
  NewDestination,
  StreamProgress,
  UnroutedAlerts,
} from '../contract/destination.ts';
import type { ShapeName, StreamName } from '../contract/export.ts';
import { toTimestamp } from '../store/time.ts';
import { HttpSender } from './http/http_sender.ts';
import { prepare } from './http/prepared.ts';
import { StreamRequest } from './http/stream_request.ts';
import { isRefused } from './refused_addresses.ts';
import { type SendOptions, type SendResult, send } from './send.ts';
import { sendTestRecord } from './send_test_record.ts';
import { testAlert } from './test_alert.ts';
import { testItem } from './test_item.ts';

/** Each may hold 1,000 waiting alerts. */
const MAX_DESTINATIONS = 100;

export interface DestinationsOptions {
  /** Milliseconds since 1970. */
  now?: () => number;
  sending?: SendOptions;
}

export class Destinations {
  readonly #admin: Pick<AdminStore, 'alerts' | 'cursors' | 'transaction'>;
  readonly #rows: AdminStore['alerts'];
  readonly #now: () => number;
  readonly #sending: SendOptions;

  constructor(
    admin: Pick<AdminStore, 'alerts' | 'cursors' | 'transaction'>,
    { now = Date.now, sending = {} }: DestinationsOptions = {},
  ) {
    this.#admin = admin;
    this.#rows = admin.alerts;
    this.#now = now;
    this.#sending = sending;
  }

  /** Returns the destinations sorted by name. */
  async list(): Promise<Destination[]> {
    return served(this.#admin);
  }

  /** Returns how many alerts were for no destination. */
  unrouted(): Promise<UnroutedAlerts> {
    return this.#rows.unrouted();
  }

  /** Finds a destination by its id or its name. Returns null if there is none. */
  async find(idOrName: string): Promise<Destination | null> {
    return (await this.list()).find(({ id, name }) => id === idOrName || name === idOrName) ?? null;
  }

  /** Throws `OperatorError` (2) if the name is taken, or if nothing may be sent to this address. */
  async add(given: NewDestination): Promise<Destination> {
    const { name, enabled, stream = 'alerts', send_resolved: sendResolved } = given;
    const config = withShape(given.config, given.shape);
    const isForPeople = await checkConfig(config, stream);
    const digest = stream === 'alerts' && (given.digest ?? isForPeople);
    const rules = stream === 'alerts' ? (given.rules ?? [...alertRule.options]) : [];
    const owners = ownersOf(given.owners, stream);
    return this.#admin.transaction('alerts', async (admin) => {
      const { alerts, cursors } = admin;
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
      await alerts.addDestination({
        id,
        name,
        enabled,
        rules,
        digest,
        sendResolved,
        owners,
        config,
        createdUs,
        stream,
      });
      if (stream !== 'alerts') await cursors.add(id);
      return (await servedOne(admin, id))!;
    });
  }

  /** Returns null if no destination has this id. Throws `OperatorError` as `add` does. */
  async change(id: string, change: DestinationChange): Promise<Destination | null> {
    if (change.config !== undefined) {
      const stream = (await rowOf(this.#rows, id))?.stream ?? 'alerts';
      await checkConfig(change.config, stream);
    }
    return this.#admin.transaction('alerts', async (admin) => {
      const { alerts } = admin;
      const existing = await alerts.destinations();
      const row = existing.find((candidate) => candidate.id === id);
      if (row === undefined) return null;
      const { name = row.name, enabled = row.enabled, config = row.config } = change;
      const rules = row.stream === 'alerts' ? (change.rules ?? row.rules) : [];
      refuseTaken(existing, name, id);
      const { digest = row.digest, send_resolved: sendResolved = row.sendResolved } = change;
      const owners = change.owners === undefined ? row.owners : ownersOf(change.owners, row.stream);
      await alerts.changeDestination({ ...row, name, enabled, rules, digest, sendResolved, owners, config });
      return servedOne(admin, id);
    });
  }

  /** Returns false if no destination has this id. */
  remove(id: string): Promise<boolean> {
    return this.#rows.removeDestination(id);
  }

  /** Sends a test record now, also to a destination that is switched off. Rejects if the database fails. */
  async sendTest(id: string, link: string | null): Promise<SendResult> {
    const row = await rowOf(this.#rows, id);
    if (row === undefined) {
      const error = 'there is no alert destination with this id';
      return { ok: false, error, next: 'refused', retryAfterMs: null };
    }
    const result = await this.#sendTestTo(row, link);
    if (result.ok) await this.#rows.noteDelivered(id, this.#now() * 1000);
    else await this.#rows.noteError(id, result.error);
    return result;
  }

  #sendTestTo(row: DestinationRow, link: string | null): Promise<SendResult> {
    const nowUs = this.#now() * 1000;
    if (row.stream === 'alerts' || row.config.kind !== 'http') {
      return send(row.config, testAlert(row.name, row.rules[0]!, nowUs, link), this.#sending);
    }
    return sendTestRecord(row.config, testItem(row.stream, row.name, nowUs, link), this.#sending);
  }
}

/** Returns the destinations sorted by name. */
async function served({ alerts, cursors }: Pick<AdminStore, 'alerts' | 'cursors'>): Promise<Destination[]> {
  const progress = new Map((await cursors.all()).map((cursor) => [cursor.destination, cursor]));
  return Promise.all(
    (await alerts.destinations()).map((row) => withoutSecrets(row, progress.get(row.id) ?? null)),
  );
}

async function servedOne(
  admin: Pick<AdminStore, 'alerts' | 'cursors'>,
  id: string,
): Promise<Destination | null> {
  return (await served(admin)).find((each) => each.id === id) ?? null;
}

/** Throws `OperatorError` (2) for a stream whose records have no owner. */
function ownersOf(
  owners: DestinationOwners | null | undefined,
  stream: StreamName,
): DestinationOwners | null {
  if (owners === undefined || owners === null) return null;
  if (stream === 'alerts') return owners;
  throw new OperatorError(
    2,
    `Only alerts can be limited to owners. A destination of the stream ${stream} gets every record: leave owners out.`,
  );
}

/** A shape that is chosen goes before that of the preset. */
function withShape(config: DestinationConfig, shape: ShapeName | undefined): DestinationConfig {
  if (shape === undefined) return config;
  if (config.kind === 'http') return { ...config, request: { ...config.request, shape } };
  throw new OperatorError(
    2,
    `A destination of kind ${config.kind} has its own form and no shape. Leave shape out.`,
  );
}

async function rowOf(alerts: AdminStore['alerts'], id: string): Promise<DestinationRow | undefined> {
  return (await alerts.destinations()).find((candidate) => candidate.id === id);
}

/** Returns the address of a destination without secrets. The path of a URL is a secret. */
async function targetOf(config: DestinationConfig, stream: StreamName): Promise<string> {
  switch (config.kind) {
    case 'http':
      try {
        return (await prepare(config, stream)).target;
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

async function withoutSecrets(row: DestinationRow, cursor: CursorRow | null): Promise<Destination> {
  return {
    id: row.id,
    name: row.name,
    enabled: row.enabled,
    stream: row.stream,
    shape: await shapeOfRow(row),
    rules: row.rules,
    digest: row.digest,
    send_resolved: row.sendResolved,
    owners: row.owners,
    kind: row.config.kind,
    preset: row.config.kind === 'http' ? row.config.preset : null,
    target: await targetOf(row.config, row.stream),
    created: toTimestamp(row.createdUs),
    last_delivered: row.lastDeliveredUs === null ? null : toTimestamp(row.lastDeliveredUs),
    last_error: row.lastError,
    waiting: row.waiting,
    given_up: row.givenUp,
    last_given_up: row.givenUpUs === null ? null : toTimestamp(row.givenUpUs),
    given_up_reason: row.givenUpReason,
    progress: cursor === null ? null : progressOf(cursor),
  };
}

function progressOf(cursor: CursorRow): StreamProgress {
  const { sinceUs, oldestUs, checkedUs, sent, behind, deleted, unfit, warning } = cursor;
  const timeOf = (us: number | null) => (us === null ? null : toTimestamp(us));
  return {
    ...{ since: timeOf(sinceUs), sent, behind, oldest: timeOf(oldestUs), checked: timeOf(checkedUs) },
    ...{ deleted, unfit, warning },
  };
}

async function shapeOfRow({ config, stream }: DestinationRow): Promise<ShapeName | null> {
  if (config.kind !== 'http') return null;
  try {
    return (await prepare(config, stream)).shape;
  } catch {
    // The target says what is wrong.
    return null;
  }
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
async function checkConfig(config: DestinationConfig, stream: StreamName): Promise<boolean> {
  if (config.kind !== 'http') {
    if (stream !== 'alerts') {
      throw new OperatorError(
        2,
        `A destination of kind ${config.kind} takes alerts only. Use a preset for the stream ${stream}: "imdswatch alert presets" lists them.`,
      );
    }
    refuseUnsafe(config.host);
    if (config.kind === 'email') checkPassword(config);
    return config.kind === 'email';
  }
  const prepared = await prepare(config, stream);
  if (prepared.unusedShape !== null) throw new OperatorError(2, prepared.unusedShape);
  for (const host of prepared.hosts) refuseUnsafe(host);
  if (stream === 'alerts') HttpSender.check(prepared, testAlert('test', 'new_offender', 0, null));
  else StreamRequest.check(prepared, testItem(stream, 'test', 0, null));
  return prepared.preset.digest;
}

function refuseUnsafe(host: string): void {
  const bare = bareHost(host);
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
