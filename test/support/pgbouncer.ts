/** Runs PgBouncer in front of a PostgreSQL server for a test, on a Unix socket in a directory of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './collector/stored.ts';
import type { PostgresServer } from './postgres.ts';
import { ownDirectory } from './server_user.ts';

const PROGRAM = '/usr/sbin/pgbouncer';
/** False, or the reason why tests with a pooler must skip. */
export const NO_PGBOUNCER =
  !existsSync(PROGRAM) && 'there is no PgBouncer (setup/test_packages.sh installs it)';

export class PgBouncer {
  readonly #directory: string;
  readonly #child: ChildProcess;

  private constructor(directory: string, child: ChildProcess) {
    this.#directory = directory;
    this.#child = child;
  }

  static async start(server: PostgresServer, mode: 'transaction' | 'session'): Promise<PgBouncer> {
    const directory = mkdtempSync(join(tmpdir(), 'imdswatch-pgbouncer-'));
    const file = join(directory, 'pgbouncer.ini');
    writeFileSync(
      file,
      `[databases]\n* = host=${server.directory} user=postgres\n` +
        `[pgbouncer]\nlisten_addr =\nlisten_port = 5432\nunix_socket_dir = ${directory}\nauth_type = any\n` +
        `pool_mode = ${mode}\nlogfile = ${join(directory, 'log')}\nmax_client_conn = 200\n`,
    );
    // It refuses to run as root.
    const owner = ownDirectory(directory);
    const child = spawn(PROGRAM, ['-q', file], { stdio: 'ignore', ...owner });
    const bouncer = new PgBouncer(directory, child);
    await eventually('PgBouncer listens', () => {
      if (child.exitCode !== null) throw new Error(readFileSync(join(directory, 'log'), 'utf8'));
      return existsSync(join(directory, '.s.PGSQL.5432'));
    });
    return bouncer;
  }

  /** Returns the address of the server's database that passes the pooler. */
  url(store: string): string {
    return store.replace(/host=[^&]*/, `host=${encodeURIComponent(this.#directory)}`);
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
