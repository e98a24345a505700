/**
 * Keys of advisory locks. Collectors of all releases use the same. They are the eight bytes of "imdswatc" as a number, and
 * the numbers after it.
 */

/** Held while a schema is changed. */
export const SCHEMA_LOCK = '7596838593530786915';
/** Held while workloads are inserted, so that their numbers are in the order of their commits. */
export const IDENTITIES_LOCK = '7596838593530786916';
/** Held while partitions are made and dropped. */
export const PARTITIONS_LOCK = '7596838593530786917';
/** Writers hold it together; who deletes rows that they remember, or must not be disturbed by them, holds it alone. */
export const WRITERS_LOCK = '7596838593530786918';
/** Held while arrivals get their positions. */
export const ARRIVALS_LOCK = '7596838593530786920';
/** Held while a whole store is copied into the database. */
export const COPY_LOCK = '7596838593530786919';
