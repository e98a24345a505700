/**
 * Connections to the primary of a PostgreSQL cluster. The pool finds the primary among the hosts of the address, and
 * finds the new one after a failover, without a restart.
 *
 * Every connection has bounds on how long it may hold others up. A frozen collector holds the rows of its transaction
 * until `idle_in_transaction_session_timeout`; a lost network is noticed by `tcp_user_timeout` on the server and by
 * `query_timeout` here.
 */
import pg from 'pg';
import { OperatorError } from '../../../common/operator_error.ts';
import { requestCancel } from './cancel_request.ts';
import {
  DatabaseUnavailableError,
  isConnectionLost,
  isUnanswered,
  sqlState,
  UnansweredError,
  UnknownOutcomeError,
} from './database_errors.ts';
import type { DatabaseAddress } from './database_url.ts';

export interface PoolOptions {
  /** Connections at most. */
  max: number;
  /** Shows in `pg_stat_activity`. */
  applicationName: string;
  /** Time that one statement may take. */
  statementMs: number;
  /** Time that a statement waits for the lock of another transaction. */
  lockMs: number;
  /** Time that a transaction may be idle before the server ends it, and with it its locks. */
  idleInTransactionMs: number;
  /** Time to open one connection to one host. */
  connectMs: number;
  /**
   * Each connection prepares a statement once, and the server plans it for any values. For pools with few different
   * statements about few rows of large tables.
   */
  prepares: boolean;
  /** Takes a server that is a standby too. Who asks must find out what it is. */
  anyServer: boolean;
}

export const POOL_OPTIONS: PoolOptions = {
  max: 10,
  applicationName: 'imdswatch',
  statementMs: 30_000,
  lockMs: 10_000,
  idleInTransactionMs: 5_000,
  connectMs: 5_000,
  prepares: false,
  anyServer: false,
};

/** The client notices a silent network so much later than the server would have ended the statement. */
const NETWORK_MS = 5_000;
/** The longest time of Node's timers, less the time above. */
const LONGEST_MS = 2 ** 31 - 1 - NETWORK_MS;
/** Time that a connection may be unused. */
const IDLE_MS = 60_000;
/** The first version with everything that the store uses. */
const MIN_VERSION = 150_000;
/** in_failed_sql_transaction. */
const FAILED_TRANSACTION = '25P02';

/**
 * One connection, in a transaction or alone. Integers of 64 bits come as numbers, JSON as text. A statement is sent at
 * once, also while others run, and they run in order. In a transaction, all that follow a failed one fail too.
 */
export interface Session {
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Returns the number of rows that a statement changed. */
  execute(text: string, values?: unknown[]): Promise<number>;
  /** Returns rows as arrays. */
  arrays<Row extends unknown[]>(text: string, values?: unknown[]): Promise<Row[]>;
  /** A number that changes with the server and with every search for it: what was read before may be gone. */
  readonly generation: number;
}

interface Primary {
  place: string;
  host: string;
  port: number;
  pool: pg.Pool;
  generation: number;
  /** When the server was started to which the last used connection leads. Behind a proxy that changes at a failover. */
  server: string | null;
}

export class DatabasePool {
  readonly #address: DatabaseAddress;
  readonly #options: PoolOptions;
  readonly #slots: Slots;
  #primary: Primary | null = null;
  #search: Promise<Primary> | null = null;
  #generation = 0;
  #closed = false;
  /** Pools that are being closed, and requests to give up statements. */
  readonly #ending = new Set<Promise<void>>();
  /** When the server of a connection was started. */
  readonly #servers = new WeakMap<pg.ClientBase, string>();

  constructor(address: DatabaseAddress, options: Partial<PoolOptions> = {}) {
    this.#address = address;
    this.#options = { ...POOL_OPTIONS, ...options };
    this.#slots = new Slots(this.#options.max);
  }

  /** Returns another pool to the same database, for statements that take as long as they take. */
  unhurried(): DatabasePool {
    return new DatabasePool(this.#address, {
      ...this.#options,
      max: 1,
      statementMs: LONGEST_MS,
      prepares: false,
    });
  }

  /** Runs one statement outside a transaction. */
  async query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    return this.session((session) => session.query<Row>(text, values));
  }

  /** Runs `work` on one connection. Throws `DatabaseUnavailableError`, or what `work` throws. */
  session<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.#withClient((client, generation) => work(this.#sessionOf(client, generation)));
  }

  /**
   * Runs `work` in a transaction: all of its changes are stored, or none. Resolves when the commit is as durable as the
   * database is configured to make it. Throws `DatabaseUnavailableError`, `UnknownOutcomeError` where the commit was
   * not confirmed, or what `work` throws. `mode` follows `BEGIN`, such as `READ ONLY ISOLATION LEVEL REPEATABLE READ`.
   * `before` runs on the same connection before the transaction, which does not begin where it throws.
   */
  transaction<T>(
    work: (session: Session) => Promise<T>,
    mode = '',
    before?: (session: Session) => Promise<void>,
  ): Promise<T> {
    return this.#withClient(async (client, generation) => {
      await before?.(this.#sessionOf(client, generation));
      await client.query(`BEGIN ${mode}`);
      let result: T;
      const errors: unknown[] = [];
      try {
        result = await work(this.#sessionOf(client, generation, errors));
      } catch (error) {
        // Statements that follow a failed one fail too, and say nothing.
        const cause = sqlState(error) === FAILED_TRANSACTION ? errors[0] : error;
        if (!isConnectionLost(cause)) await client.query('ROLLBACK');
        throw cause;
      }
      await commit(client);
      return result;
    });
  }

  /**
   * Runs `work` on one connection that listens to a channel meanwhile. `lost` rejects when the connection is lost, also
   * while no statement runs.
   */
  listen<T>(
    channel: string,
    onPayload: (payload: string) => void,
    work: (session: Session, lost: Promise<never>) => Promise<T>,
  ): Promise<T> {
    return this.#withClient(async (client, generation) => {
      const lost = Promise.withResolvers<never>();
      lost.promise.catch(() => {});
      const onNotification = (message: pg.Notification) => {
        if (message.channel === channel) onPayload(message.payload ?? '');
      };
      const onEnd = () => lost.reject(new Error('Connection terminated'));
      client.on('notification', onNotification);
      client.on('error', lost.reject);
      client.on('end', onEnd);
      try {
        await client.query(`LISTEN ${channel}`);
        const result = await work(this.#sessionOf(client, generation), lost.promise);
        await client.query(`UNLISTEN ${channel}`);
        return result;
      } finally {
        client.off('notification', onNotification);
        client.off('error', lost.reject);
        client.off('end', onEnd);
      }
    });
  }

  /** `errors` gets the errors of all statements in their order. */
  #sessionOf(client: pg.PoolClient, generation: number, errors: unknown[] = []): Session {
    const { prepares } = this.#options;
    const noted = async <T>(answer: Promise<T>): Promise<T> => {
      try {
        return await answer;
      } catch (error) {
        errors.push(error);
        throw error;
      }
    };
    const run = <Row extends pg.QueryResultRow>(text: string, values: unknown[]) => {
      sendTogether(client);
      return noted(
        client.query<Row>(
          prepares && values.length > 0 ? { name: nameOf(text), text, values } : { text, values },
        ),
      );
    };
    return {
      generation,
      query: async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []) =>
        (await run<Row>(text, values)).rows,
      execute: async (text, values = []) => (await run(text, values)).rowCount ?? 0,
      arrays: async <Row extends unknown[]>(text: string, values: unknown[] = []) => {
        const name = prepares ? { name: nameOf(text) } : {};
        return (await noted(client.query<Row>({ ...name, text, values, rowMode: 'array' }))).rows;
      },
    };
  }

  async #withClient<T>(work: (client: pg.PoolClient, generation: number) => Promise<T>): Promise<T> {
    await this.#slots.take();
    try {
      const { primary, client } = await this.#connect();
      this.#noteServer(primary, client);
      // Without a listener an error between two statements would end the process.
      const onError = () => {};
      client.on('error', onError);
      try {
        const result = await work(client, primary.generation);
        client.release();
        return result;
      } catch (error) {
        const isLost = isConnectionLost(error);
        if (isUnanswered(error)) this.#waitFor(requestCancel(primary, client, this.#options.connectMs));
        client.release(isLost);
        // The other connections of a server that has failed are as bad, and a new one looks for the primary again.
        if (isLost) this.#forget(primary);
        const isRaw = isUnanswered(error) && !(error instanceof OperatorError);
        throw isRaw ? new UnansweredError(primary.place, error) : error;
      } finally {
        client.off('error', onError);
      }
    } finally {
      this.#slots.give();
    }
  }

  #noteServer(primary: Primary, client: pg.ClientBase): void {
    const server = this.#servers.get(client)!;
    if (primary.server !== null && primary.server !== server) {
      this.#generation += 1;
      primary.generation = this.#generation;
    }
    primary.server = server;
  }

  /** Returns the place of the primary that was used last, such as `db1:5432`; null before the first connection. */
  get place(): string | null {
    return this.#primary?.place ?? null;
  }

  /** Ends all connections, after the statements that run. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#search?.catch(() => {});
    this.#forget(this.#primary);
    await Promise.all(this.#ending);
  }

  async #connect(): Promise<{ primary: Primary; client: pg.PoolClient }> {
    const primary = this.#primary ?? (await this.#find());
    try {
      return { primary, client: await primary.pool.connect() };
    } catch {
      // The primary may be another one by now.
      this.#forget(primary);
    }
    const found = await this.#find();
    try {
      return { primary: found, client: await found.pool.connect() };
    } catch (error) {
      this.#forget(found);
      throw new DatabaseUnavailableError([{ place: found.place, reason: (error as Error).message }], error);
    }
  }

  #find(): Promise<Primary> {
    if (this.#closed) throw new Error('The database pool is closed.');
    this.#search ??= this.#findPrimary().finally(() => {
      this.#search = null;
    });
    return this.#search;
  }

  async #findPrimary(): Promise<Primary> {
    const attempts: { place: string; reason: string }[] = [];
    let cause: unknown;
    for (const { host, port } of this.#address.hosts) {
      const place = host.startsWith('/') ? host : `${host}:${port}`;
      const pool = this.#poolFor(host, port);
      try {
        (await pool.connect()).release();
        if (this.#closed) throw new Error('The database pool is closed.');
        this.#generation += 1;
        this.#primary = { place, host, port, pool, generation: this.#generation, server: null };
        return this.#primary;
      } catch (error) {
        this.#end(pool);
        cause = error;
        attempts.push({ place, reason: (error as Error).message });
      }
    }
    throw new DatabaseUnavailableError(attempts, cause);
  }

  #poolFor(host: string, port: number): pg.Pool {
    const { max, applicationName, statementMs, connectMs } = this.#options;
    const pool = new pg.Pool({
      pipeline: true,
      host,
      port,
      user: this.#address.user,
      database: this.#address.database,
      password: async () => this.#address.password() ?? '',
      ssl: this.#address.tls(host),
      max,
      application_name: applicationName,
      connectionTimeoutMillis: connectMs,
      idleTimeoutMillis: IDLE_MS,
      query_timeout: statementMs + NETWORK_MS,
      keepAlive: true,
      types: TYPES,
      onConnect: (client) => this.#prepare(client),
    });
    // An idle connection that ends is removed from the pool; the next one that is needed is opened anew.
    pool.on('error', () => {});
    return pool;
  }

  /** Checks a new connection and sets its bounds. Throws where its server cannot be used. */
  async #prepare(client: pg.ClientBase): Promise<void> {
    const { statementMs, lockMs, idleInTransactionMs, connectMs, prepares } = this.#options;
    const settings: [string, string][] = [
      ['statement_timeout', String(statementMs)],
      ['lock_timeout', String(lockMs)],
      ['idle_in_transaction_session_timeout', String(idleInTransactionMs)],
      ['tcp_user_timeout', String(idleInTransactionMs)],
      ['timezone', 'UTC'],
      // The server's configuration must not change what a statement means.
      ['default_transaction_isolation', 'read committed'],
      ['standard_conforming_strings', 'on'],
      // Compiling a statement takes longer than the questions of the page.
      ['jit', 'off'],
      ['plan_cache_mode', prepares ? 'force_generic_plan' : 'auto'],
    ];
    const question = {
      text: `SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') AS read_only,
         current_setting('server_version_num')::integer AS version, current_setting('server_encoding') AS encoding,
         pg_postmaster_start_time()::text AS started,
         ${settings.map((_, at) => `set_config($${at * 2 + 1}, $${at * 2 + 2}, false)`).join(', ')}`,
      values: settings.flat(),
      query_timeout: connectMs,
    };
    const { rows } = await client.query(question);
    const { standby, read_only: readOnly, version, encoding, started } = rows[0];
    const { anyServer } = this.#options;
    if (standby === true && !anyServer) throw new Error('it is a standby');
    if (readOnly === 'on' && !anyServer) {
      throw new Error('it takes no changes (default_transaction_read_only is on)');
    }
    if (version < MIN_VERSION) {
      throw new Error(`it is PostgreSQL ${Math.floor(version / 10_000)}, and 15 or later is needed`);
    }
    if (encoding !== 'UTF8') {
      throw new Error(`its encoding is ${encoding}. Create the database with ENCODING 'UTF8'`);
    }
    this.#servers.set(client, started);
  }

  #forget(primary: Primary | null): void {
    if (primary === null || this.#primary !== primary) return;
    this.#primary = null;
    this.#end(primary.pool);
  }

  #end(pool: pg.Pool): void {
    this.#waitFor(pool.end());
  }

  /** Has `close` wait for work that nobody else waits for. */
  #waitFor(work: Promise<void>): void {
    const ending = work.catch(() => {}).finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }
}

/** Commits, and resolves only where the database confirms what it is configured to confirm. */
async function commit(client: pg.PoolClient): Promise<void> {
  const warnings: string[] = [];
  const onNotice = ({
    severity,
    message,
  }: {
    severity?: string | undefined;
    message?: string | undefined;
  }) => {
    if (severity === 'WARNING') warnings.push(String(message));
  };
  client.on('notice', onNotice);
  try {
    // A transaction that failed answers a COMMIT with ROLLBACK, without an error.
    const { command } = await client.query('COMMIT');
    if (command !== 'COMMIT') throw new RolledBackError(command);
    // After an administrator cancels the wait for the standbys, the commit succeeds with a warning
    // (PostgreSQL 15, src/backend/replication/syncrep.c, SyncRepWaitForLSN).
    if (warnings.length > 0) throw new UnknownOutcomeError(new Error(warnings.join('; ')));
  } catch (error) {
    const isKnown = sqlState(error) !== null && !isConnectionLost(error);
    if (isKnown || error instanceof RolledBackError || error instanceof UnknownOutcomeError) throw error;
    throw new UnknownOutcomeError(error);
  } finally {
    client.off('notice', onNotice);
  }
}

class RolledBackError extends Error {
  constructor(command: string) {
    super(`The database answered a COMMIT with ${command}: a statement before it had failed.`);
  }
}

/**
 * Hands out a number of slots, in the order of the requests. The pool of the `pg` package has such a queue too, but it
 * forgets who waits in it when it is closed, as it is at a failover.
 */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(slots: number) {
    this.#free = slots;
  }

  async take(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

/**
 * Has all statements of this turn of the event loop sent with one system call. A transaction of many statements otherwise
 * wakes the server up for each, which takes longer than the small ones.
 */
function sendTogether(client: pg.PoolClient): void {
  const { stream } = client.connection;
  if (stream.writableCorked > 0) return;
  stream.cork();
  process.nextTick(() => stream.uncork());
}

const statementNames = new Map<string, string>();

/** Returns the name under which connections prepare a statement. */
function nameOf(text: string): string {
  let name = statementNames.get(text);
  if (name === undefined) {
    name = `imdswatch_${statementNames.size + 1}`;
    statementNames.set(text, name);
  }
  return name;
}

/** Object identifiers of types: pg_type.dat of PostgreSQL 15. */
const INT8 = 20;
const JSON_TYPE = 114;

/** Times in microseconds and counts are below 2^53. */
const TYPES: pg.CustomTypesConfig = {
  getTypeParser: (id: number, format?: 'text' | 'binary') => {
    if (format !== 'binary' && id === INT8) return Number;
    if (format !== 'binary' && id === JSON_TYPE) return String;
    return pg.types.getTypeParser(id, format as 'text');
  },
} as pg.CustomTypesConfig;
