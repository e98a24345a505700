/**
 * Copies the files of a running PostgreSQL server with its functions for backups, where the program `pg_basebackup` is
 * missing (PostgreSQL 15 documentation, 26.3.3 "Making a Base Backup Using the Low Level API"; 15 has renamed them).
 */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  type Dirent,
  mkdirSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';

/** Files and directories that a server makes for itself: section 26.3.3.3 "Backing Up the Data Directory". */
const FILES_LEFT_OUT = new Set(['postmaster.pid', 'postmaster.opts', 'pg_internal.init']);
const EMPTY_DIRECTORIES = new Set([
  'pg_wal',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
]);
const WAL_FILE = /^[0-9A-F]{24}$/;

export interface BaseBackup {
  /** The connection that the backup is made on. */
  connection: pg.ClientConfig;
  /** Data directory of the server, and of the copy, which does not exist yet. */
  from: string;
  to: string;
  /** Owner of the copy; null: this user. */
  owner: { uid: number; gid: number } | null;
}

/** Makes the copy, with the write-ahead log that it needs. The server goes on meanwhile. */
export async function copyRunningServer({ connection, from, to, owner }: BaseBackup): Promise<void> {
  const client = new pg.Client(connection);
  await client.connect();
  try {
    await client.query(`SELECT pg_backup_start('test', true)`);
    const directory = (path: string) => {
      mkdirSync(path);
      chmodSync(path, 0o700);
      if (owner !== null) chownSync(path, owner.uid, owner.gid);
    };
    const own = (path: string) => {
      chmodSync(path, 0o600);
      if (owner !== null) chownSync(path, owner.uid, owner.gid);
    };
    const copyFile = (source: string, target: string) => {
      try {
        copyFileSync(source, target);
      } catch (error) {
        // The server may delete a file meanwhile: its write-ahead log then says so.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
        throw error;
      }
      own(target);
    };
    const copyDirectory = (source: string, target: string) => {
      directory(target);
      for (const entry of entriesOf(source)) {
        const [one, other] = [join(source, entry.name), join(target, entry.name)];
        if (entry.isDirectory()) copyDirectory(one, other);
        else if (!FILES_LEFT_OUT.has(entry.name)) copyFile(one, other);
      }
    };
    directory(to);
    for (const entry of entriesOf(from)) {
      const [source, target] = [join(from, entry.name), join(to, entry.name)];
      if (EMPTY_DIRECTORIES.has(entry.name)) directory(target);
      else if (entry.isDirectory()) copyDirectory(source, target);
      else if (!FILES_LEFT_OUT.has(entry.name)) copyFile(source, target);
    }
    directory(join(to, 'pg_wal', 'archive_status'));
    const { rows } = await client.query('SELECT labelfile FROM pg_backup_stop(false)');
    writeFileSync(join(to, 'backup_label'), rows[0].labelfile);
    own(join(to, 'backup_label'));
    for (const { name } of entriesOf(join(from, 'pg_wal'))) {
      if (WAL_FILE.test(name)) copyFile(join(from, 'pg_wal', name), join(to, 'pg_wal', name));
    }
  } finally {
    await client.end();
  }
}

function entriesOf(directory: string): Dirent[] {
  return readdirSync(directory, { withFileTypes: true });
}
