/**
 * Runs a real PostgreSQL server for one test file, in a directory of its own: the newest of /usr/lib/postgresql (15 on
 * Debian 12), or that of the directory in `IMDSWATCH_TEST_POSTGRES`. It listens on a Unix socket, and with `tcp` on a
 * free port of 127.0.0.1 too.
 *
 * The server runs as another user where the tests run as root, because PostgreSQL refuses root. A shell starts it and
 * ends it when its standard input is closed, so it also ends with a test process that is killed.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  appendFileSync,
  chownSync,
  existsSync,
  globSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { copyRunningServer } from './base_backup.ts';
import { makeDataDirectory } from './data_directory.ts';
import { freePort } from './free_port.ts';
import { killFamily } from './process_family.ts';
import { ownDirectory } from './server_user.ts';

/** Directory of the programs of the server; null where there is none. */
export const PROGRAMS = findPrograms();
/** False, or the reason why tests with a server must skip. */
export const NO_POSTGRES =
  PROGRAMS === null && 'there is no PostgreSQL server (setup/test_packages.sh installs it)';

const DEFAULT_PORT = 5432;
const START_MS = 120_000;
const STOP_MS = 30_000;

export interface PostgresOptions {
  /** Lines of postgresql.conf. */
  settings?: readonly string[];
  /** Listens on a port of 127.0.0.1 too. */
  tcp?: boolean;
  /** Certificate and key (PEM) of the server; it then also takes TLS. */
  tls?: { certificate: string; key: string; clientAuthority?: string };
  /** Lines of pg_hba.conf for TCP. Default: everybody without a password. */
  access?: readonly string[];
}

export class PostgresServer {
  readonly directory: string;
  /** Port on 127.0.0.1; null without `tcp`. */
  readonly port: number | null;
  readonly #owner: { uid: number; gid: number } | null;
  #shell: ChildProcess | null = null;
  #databases = 0;

  private constructor(directory: string, port: number | null, owner: { uid: number; gid: number } | null) {
    this.directory = directory;
    this.port = port;
    this.#owner = owner;
  }

  static async start(options: PostgresOptions = {}): Promise<PostgresServer> {
    const server = await PostgresServer.#create(options.tcp === true || options.tls !== undefined);
    server.#initialise(options);
    await server.start();
    return server;
  }

  /** Starts a standby that follows a server. `name` is its `application_name` there. */
  static async startStandby(primary: PostgresServer, name: string): Promise<PostgresServer> {
    const server = await PostgresServer.#create(primary.port !== null);
    await server.#copy(primary);
    writeFileSync(join(server.directory, 'data', 'standby.signal'), '');
    server.#setAgain([`primary_conninfo = '${primary.#connectionText()} application_name=${name}'`]);
    await server.start();
    return server;
  }

  /** Makes a base backup of a server. `restore` makes a server of it. */
  static async backup(of: PostgresServer): Promise<PostgresServer> {
    const backup = await PostgresServer.#create(of.port !== null);
    await backup.#copy(of);
    return backup;
  }

  /**
   * Starts a base backup, which first gets what the settings of the recovery name (PostgreSQL 15 documentation, 20.5.5
   * "Archive Recovery" and 20.5.6 "Recovery Target"). Resolves when it takes changes.
   */
  async restore(settings: readonly string[]): Promise<void> {
    this.#setAgain(settings);
    writeFileSync(join(this.directory, 'data', 'recovery.signal'), '');
    await this.start();
    const deadline = performance.now() + START_MS;
    while (
      (await this.query('postgres', 'SELECT pg_is_in_recovery() AS recovers'))[0]!['recovers'] === true
    ) {
      if (performance.now() > deadline) throw new Error(`The recovery did not end: ${this.log()}`);
      await sleep(50);
    }
  }

  async #copy(of: PostgresServer): Promise<void> {
    const target = join(this.directory, 'data');
    if (existsSync(join(PROGRAMS!, 'pg_basebackup'))) {
      const address = of.#connectionText();
      this.#run('pg_basebackup', ['-D', target, '-c', 'fast', '--no-sync', '-d', address]);
      return;
    }
    const connection = of.#connection('postgres');
    await copyRunningServer({ connection, from: join(of.directory, 'data'), to: target, owner: this.#owner });
  }

  #connection(database: string): pg.ClientConfig {
    return { host: this.directory, port: this.port ?? DEFAULT_PORT, user: 'postgres', database };
  }

  /** Returns the same as text, as the programs of PostgreSQL take it. */
  #connectionText(): string {
    return `host=${this.directory} port=${this.port ?? DEFAULT_PORT} user=postgres`;
  }

  /** Gives a copy of a server settings of its own. The last value of a setting counts. */
  #setAgain(settings: readonly string[] = []): void {
    const own = [`unix_socket_directories = '${this.directory}'`, `port = ${this.port ?? DEFAULT_PORT}`];
    const file = join(this.directory, 'data', 'postgresql.auto.conf');
    appendFileSync(file, `${[...own, ...settings].join('\n')}\n`);
  }

  static async #create(tcp: boolean): Promise<PostgresServer> {
    const directory = mkdtempSync(join(tmpdir(), 'imdswatch-postgres-'));
    const owner = ownDirectory(directory);
    return new PostgresServer(directory, tcp ? await freePort() : null, owner);
  }

  /** Starts the server again after `kill` or `stop`. */
  async start(): Promise<void> {
    // A shell gives its commands in the background no standard input, so another descriptor carries it.
    const command = `exec 3<&0
      "$0" -D "$1/data" >>"$1/log" 2>&1 3<&- & server=$!; echo $server >"$1/server.pid"
      (cat <&3 >/dev/null; kill -QUIT $server) 2>/dev/null & wait $server`;
    this.#shell = spawn('/bin/sh', ['-c', command, join(PROGRAMS!, 'postgres'), this.directory], {
      cwd: this.directory,
      env: environment(),
      stdio: ['pipe', 'ignore', 'ignore'],
      ...this.#owner,
    });
    await this.#ready();
  }

  /** Host and port as they stand in an address. */
  get place(): string {
    return this.port === null ? this.directory : `127.0.0.1:${this.port}`;
  }

  /** Returns the address of a database. */
  url(database: string): string {
    return `postgres://postgres@/${database}?host=${encodeURIComponent(this.place)}`;
  }

  /** Creates an empty database and returns its address. `options` are more options of CREATE DATABASE. */
  async createDatabase(options = ''): Promise<string> {
    this.#databases += 1;
    const name = `test_${this.#databases}`;
    await this.query('postgres', `CREATE DATABASE ${name} ENCODING 'UTF8' TEMPLATE template0 ${options}`);
    return this.url(name);
  }

  /** Runs statements in a database, on a connection of their own. */
  async query(database: string, sql: string, values?: unknown[]): Promise<Record<string, unknown>[]> {
    const client = new pg.Client(this.#connection(database));
    await client.connect();
    try {
      return (await client.query(sql, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** Ends all processes of the server at once, as a crash does. */
  async kill(): Promise<void> {
    await killFamily(Number(readFileSync(join(this.directory, 'server.pid'), 'utf8')));
    await this.#ended();
  }

  /** Stops the server and deletes its directory. */
  async close(): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async stop(): Promise<void> {
    this.#shell?.stdin?.end();
    await this.#ended();
  }

  log(): string {
    return readFileSync(join(this.directory, 'log'), 'utf8');
  }

  async #ended(): Promise<void> {
    const shell = this.#shell;
    if (shell === null) return;
    this.#shell = null;
    if (shell.exitCode === null && shell.signalCode === null) {
      const timer = setTimeout(() => shell.kill('SIGKILL'), STOP_MS);
      await new Promise((resolve) => shell.once('exit', resolve));
      clearTimeout(timer);
    }
    shell.stdin?.destroy();
  }

  #initialise({ settings = [], tls, access }: PostgresOptions): void {
    const data = join(this.directory, 'data');
    makeDataDirectory(data, PROGRAMS!, this.#owner, (args) => this.#run('initdb', args));
    const owned = (name: string, text: string) => {
      const file = join(data, name);
      writeFileSync(file, text, { mode: 0o600 });
      if (this.#owner !== null) chownSync(file, this.#owner.uid, this.#owner.gid);
    };
    const lines = [
      `unix_socket_directories = '${this.directory}'`,
      `listen_addresses = '${this.port === null ? '' : '127.0.0.1'}'`,
      // The port is also part of the name of the Unix socket.
      `port = ${this.port ?? DEFAULT_PORT}`,
      // A test ends processes, and never the power.
      'fsync = off',
      'shared_buffers = 32MB',
      'max_wal_size = 256MB',
      ...settings,
    ];
    if (tls !== undefined) {
      owned('server.crt', tls.certificate);
      owned('server.key', tls.key);
      lines.push('ssl = on', `ssl_cert_file = 'server.crt'`, `ssl_key_file = 'server.key'`);
      if (tls.clientAuthority !== undefined) {
        owned('clients.crt', tls.clientAuthority);
        lines.push(`ssl_ca_file = 'clients.crt'`);
      }
    }
    writeFileSync(join(data, 'postgresql.auto.conf'), `${lines.join('\n')}\n`);
    const tcp = access ?? ['host all all 127.0.0.1/32 trust'];
    owned('pg_hba.conf', `local all all trust\nlocal replication all trust\n${tcp.join('\n')}\n`);
  }

  #run(program: string, args: readonly string[]): void {
    const surroundings = { cwd: this.directory, env: environment(), ...this.#owner };
    execFileSync(join(PROGRAMS!, program), args, { ...surroundings, stdio: 'pipe' });
  }

  async #ready(): Promise<void> {
    const deadline = performance.now() + START_MS;
    for (;;) {
      try {
        await this.query('postgres', 'SELECT 1');
        return;
      } catch (error) {
        if (performance.now() > deadline || this.#shell?.exitCode !== null) {
          throw new Error(`The PostgreSQL server did not start: ${this.log()}`, { cause: error });
        }
        await sleep(50);
      }
    }
  }
}

/** Servers run on the real clock also where the tests run on another one. */
function environment(): NodeJS.ProcessEnv {
  return { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}

function findPrograms(): string | null {
  const named = process.env['IMDSWATCH_TEST_POSTGRES'];
  if (named !== undefined && named !== '') return named;
  const version = (path: string) => Number(/\/(\d+)\/bin\//.exec(path)?.[1] ?? 0);
  const installed = [...globSync('/usr/lib/postgresql/*/bin/postgres'), ...globSync('/usr/bin/postgres')];
  const newest = installed.sort((a, b) => version(b) - version(a))[0];
  return newest === undefined ? null : dirname(newest);
}
