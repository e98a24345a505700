/**
 * Asks the database what an acknowledgement is worth: on how many machines a batch is when its agent may delete it.
 * PostgreSQL 15 documentation: 20.5.1 `synchronous_commit` and `fsync`, 20.6.2 `synchronous_standby_names`.
 */
import type { Session } from './database_pool.ts';

export interface Durability {
  /** Machines that surely have a batch on disk when it is acknowledged; 0 where it may be in memory only. */
  copies: number;
  /** Standbys that must confirm a commit, and those that follow now and may do so; null where the user may not see them. */
  required: number;
  present: number | null;
  /** A whole sentence for operators. */
  text: string;
  /** True where the loss of one machine, or of its power, loses nothing that was acknowledged. */
  isSafe: boolean;
}

export async function readDurability(session: Session): Promise<Durability> {
  const [row] = await session.query<{
    commit: string;
    names: string;
    fsync: string;
    present: number | null;
  }>(
    `SELECT current_setting('synchronous_commit') AS commit, current_setting('synchronous_standby_names') AS names,
       current_setting('fsync') AS fsync,
       (SELECT CASE WHEN bool_or(sync_state IS NULL) THEN NULL
          ELSE count(*) FILTER (WHERE sync_state IN ('sync', 'quorum', 'potential')) END
        FROM pg_stat_replication) AS present`,
  );
  const { commit, names, fsync, present } = row!;
  return judgeDurability({ commit, required: requiredStandbys(names), fsync: fsync === 'on', present });
}

/** Judges settings of a database. `commit` is `synchronous_commit`. */
export function judgeDurability(settings: {
  commit: string;
  required: number;
  fsync: boolean;
  present: number | null;
}): Durability {
  const { commit, required, fsync, present } = settings;
  const base = { required, present };
  if (commit === 'off' || !fsync) {
    const setting = fsync ? 'synchronous_commit is off' : 'fsync is off';
    return {
      ...base,
      copies: 0,
      isSafe: false,
      text: `An acknowledged batch can be lost when the database server crashes, because ${setting}. Set it to on.`,
    };
  }
  const isLocal = commit === 'local' || required === 0;
  if (isLocal) {
    const setting = required === 0 ? 'synchronous_standby_names is empty' : 'synchronous_commit is local';
    return {
      ...base,
      copies: 1,
      isSafe: false,
      text: `An acknowledged batch is on the disk of one machine (${setting}). If this PostgreSQL is managed and replicates its storage, that is enough; else it is lost with that machine. With standbys, set synchronous_standby_names and synchronous_commit to on.`,
    };
  }
  // With remote_write a standby has a commit in the memory of its operating system.
  const isOnDisk = commit !== 'remote_write';
  const copies = isOnDisk ? required + 1 : 1;
  const waits =
    present !== null && present < required
      ? ` Only ${present} of them follow the primary now, so batches wait and agents keep them.`
      : '';
  const where = isOnDisk
    ? `on the disks of ${copies} machines`
    : `on the disk of one machine and in the memory of ${required} others (synchronous_commit is remote_write)`;
  return {
    ...base,
    copies,
    isSafe: true,
    text: `An acknowledged batch is ${where}: ${required} standby servers must confirm it.${waits}`,
  };
}

/** Returns how many standbys must confirm a commit, by the text of `synchronous_standby_names`. */
export function requiredStandbys(names: string): number {
  const text = names.trim();
  if (text === '') return 0;
  const count = /^(?:(?:first|any)\s+)?(\d+)\s*\(/i.exec(text);
  // A list of names alone means its first standby that is there.
  return count === null ? 1 : Number(count[1]);
}
