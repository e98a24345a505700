/** Reasons why a transaction of a writer is tried again. */

/** Another transaction changed what this one relied on. */
export class RetryError extends Error {}

/** A record is stored already. The batches have to be counted again without it. */
export class DuplicateError extends Error {}

/** Other writers have changed these hosts. What is known of all others is still good. */
export class OutdatedHostsError extends Error {
  readonly hostIds: readonly string[];

  constructor(hostIds: readonly string[]) {
    super(`Other writers changed ${hostIds.length} hosts.`);
    this.hostIds = hostIds;
  }
}

/** Processes with these hashes may be stored already. */
export class StoredCallersError extends Error {
  readonly hashes: readonly Buffer[];

  constructor(hashes: readonly Buffer[]) {
    super('A process was stored by another writer.');
    this.hashes = hashes;
  }
}
