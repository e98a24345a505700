/** Schema of what is served about the store. */
import * as z from 'zod';

/** Why the primary answered a question that was meant for a standby. */
export const standbyProblem = z.enum([
  /** There is no connection, the connection was lost, or the server failed. */
  'away',
  /** The server takes changes: it was promoted, or never was a standby. */
  'not_a_standby',
  /** Its database is another one than the primary's. */
  'other_database',
  /** It has not replayed what the primary stored at a position that it has passed. */
  'diverged',
  /** Its data is older than the limit, or than what the answer has already. */
  'behind',
  /** Somebody has just changed something at this collector, and the standby has not replayed it yet. */
  'changed',
  /** The standby ended the question, because it had to replay a change of the rows that were read. */
  'conflict',
  /** It cannot be told from when its data is. */
  'unknown',
]);
export type StandbyProblem = z.infer<typeof standbyProblem>;

/** The standbys that answer questions of people in place of the primary. */
export const storeReader = z.object({
  /** The primary answers where the data of a standby is older. */
  max_lag_seconds: z.number(),
  standbys: z.array(
    z.object({
      /** Host and port. */
      place: z.string(),
      /** Null where the standby answers questions. */
      problem: standbyProblem.nullable(),
      /** Everything that was stored before has been replayed there; null where that is not known. */
      as_of: z.iso.datetime().nullable(),
      lag_seconds: z.int().min(0).nullable(),
      /** Says in a sentence whether it answers, and why not. */
      text: z.string(),
    }),
  ),
  /** Questions to the store that a standby has answered since this collector began. */
  answered: z.int().min(0),
  /** Those that the primary answered, by the reason. */
  answered_by_primary: z.record(standbyProblem, z.int().min(0)),
});
export type StoreReader = z.infer<typeof storeReader>;

export const storage = z.object({
  /** `embedded`: files of the one collector. `postgresql`: a database that collectors share. */
  kind: z.enum(['embedded', 'postgresql']),
  /** Machines that surely have a batch on disk when it is acknowledged; 0 where it may be in memory only. */
  copies: z.int().min(0),
  /** False where an acknowledged batch may be lost with one machine. */
  survives_loss_of_machine: z.boolean(),
  /** Says in whole sentences what an acknowledgement is worth. */
  text: z.string(),
  /** Says why this collector could not store the last batch, such as a full disk; null where it could. */
  problem: z.string().nullable(),
  /** Says that the clock of this collector is not the database's, and what it leaves to others; null where it is. */
  clock: z.string().nullable(),
  /** Null where all questions are asked of the store itself. */
  reader: storeReader.nullable(),
});

export type Storage = z.infer<typeof storage>;
/** The store itself knows this much. */
export type StoreStorage = Omit<Storage, 'clock'>;
