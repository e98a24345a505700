/**
 * The spool's files while they are in use: the ledger, the sync of new records, the deletion of files whose
 * records are delivered, and the state of the disk. After an error of the file system the spool has a fault
 * until a retry succeeds.
 */
import { closeSync, fdatasync, unlinkSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { syncDirectory } from '../../common/atomic_file.ts';
import type { SpentFile } from './batches.ts';
import { DROP_ORDER } from './lanes.ts';
import type { Ledger } from './ledger.ts';
import type { SpoolContents } from './spool_contents.ts';

const SYNC_WINDOW_MS = 500;
const RETRY_MS = 1000;

const fdatasyncAsync = promisify(fdatasync);

export interface SpoolDiskOptions {
  directory: string;
  hostId: string;
  bootId: string;
  log: Logger;
  /** Called some time after an error. It calls `clearFault`, or `setFault` again. */
  retry: () => void;
}

export class SpoolDisk {
  readonly #options: SpoolDiskOptions;
  #contents: SpoolContents | null = null;
  #ledger: Ledger | null = null;
  /** Files whose records are delivered. They are deleted once a ledger that says so is on the disk. */
  #spent: SpentFile[] = [];
  #bytes = 0;
  #isDirectoryDirty = false;
  #syncTimer: NodeJS.Timeout | null = null;
  #syncing: Promise<void> | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #isClosed = false;
  #fault: string | null = null;
  #faultCount = 0;

  constructor(options: SpoolDiskOptions) {
    this.#options = options;
  }

  /** Begins to use an opened ledger, which from here on records `contents`. */
  useLedger(ledger: Ledger, contents: SpoolContents): void {
    this.#ledger = ledger;
    this.#contents = contents;
    this.#spent = [];
    this.#bytes = contents.sumOverLanes((lane) => lane.diskBytes);
  }

  get isOpen(): boolean {
    return this.#ledger !== null;
  }
  /** Bytes of all segment files. */
  get bytes(): number {
    return this.#bytes;
  }
  get hasSpentFiles(): boolean {
    return this.#spent.length > 0;
  }
  /** The reason why the disk cannot be written now; null when it can. */
  get fault(): string | null {
    return this.#fault;
  }
  get faultCount(): number {
    return this.#faultCount;
  }

  addSpentFiles(files: readonly SpentFile[]): void {
    this.#spent.push(...files);
  }

  /** Accounts for bytes that were appended to a segment file. `isNewFile`: the file was created for them. */
  countWrittenBytes(bytes: number, isNewFile: boolean): void {
    if (isNewFile) this.#isDirectoryDirty = true;
    this.#bytes += bytes;
    this.scheduleSync();
  }

  /** Throws errors of the file system. */
  writeLedger(isClean = false): void {
    if (this.#ledger === null || this.#contents === null) return;
    const { hostId, bootId } = this.#options;
    this.#ledger.write({
      ...this.#contents.toLedgerEntry(),
      host_id: hostId,
      boot_id: bootId,
      clean: isClean,
    });
  }

  /** Writes the ledger. An error becomes the spool's fault. */
  tryWriteLedger(): void {
    try {
      this.writeLedger();
    } catch (error) {
      this.setFault(error);
    }
  }

  scheduleSync(): void {
    if (this.#syncTimer !== null || this.#isClosed) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = null;
      if (this.#syncing !== null) {
        this.scheduleSync();
        return;
      }
      this.#syncing = this.#sync().finally(() => {
        this.#syncing = null;
      });
    }, SYNC_WINDOW_MS);
  }

  /**
   * Syncs the records, then the ledger that refers to them, and then deletes the files that the ledger calls
   * spent.
   */
  async #sync(): Promise<void> {
    try {
      await this.#syncLanes();
      if (this.#isClosed || this.#ledger === null) return;
      // Files that are acknowledged during the wait below are not covered by the ledger that is synced there.
      const spent = [...this.#spent];
      this.#syncDirectory();
      this.writeLedger();
      await fdatasyncAsync(this.#ledger.fd);
      this.deleteSpentFiles(spent);
    } catch (error) {
      if (this.#isClosed) return;
      for (const name of DROP_ORDER) this.#contents?.lanes[name].startNewSegment();
      this.setFault(error);
    }
  }

  async #syncLanes(): Promise<void> {
    if (this.#contents === null) return;
    for (const name of DROP_ORDER) {
      const { open, closed } = this.#contents.lanes[name].unsynced();
      try {
        for (const fd of [...closed, ...(open === null ? [] : [open])]) await fdatasyncAsync(fd);
      } finally {
        for (const fd of closed) closeSync(fd);
      }
    }
  }

  /**
   * Makes directory and ledger durable at once, and deletes the spent files. Throws errors of the file
   * system.
   */
  syncNow(): void {
    this.#syncDirectory();
    this.writeLedger();
    this.#ledger?.sync();
    this.deleteSpentFiles();
  }

  markDirectoryDirty(): void {
    this.#isDirectoryDirty = true;
  }

  #syncDirectory(): void {
    if (!this.#isDirectoryDirty) return;
    this.#isDirectoryDirty = false;
    syncDirectory(this.#options.directory);
  }

  /** Deletes those of `files` that still wait to be deleted. Throws errors of the file system. */
  deleteSpentFiles(files: readonly SpentFile[] = [...this.#spent]): void {
    for (const file of files) {
      const index = this.#spent.indexOf(file);
      if (index === -1) continue;
      this.#spent.splice(index, 1);
      this.#bytes -= file.bytes;
      deleteIfPresent(file.path);
    }
  }

  /**
   * Records that the disk cannot be written, and schedules a retry. Only the first error in a row is logged.
   */
  setFault(error: unknown): void {
    const { directory, log, retry } = this.#options;
    const message = error instanceof Error ? error.message : String(error);
    if (this.#fault === null) {
      this.#faultCount += 1;
      log.error(
        { reason: message, spool: directory },
        'the spool cannot be written; keeping records in memory and trying again',
      );
    }
    this.#fault = message;
    if (this.#isClosed) return;
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = null;
      retry();
    }, RETRY_MS);
  }

  clearFault(): void {
    this.#fault = null;
  }

  /**
   * Makes everything durable and closes the files. Errors become the spool's fault, so that the caller can
   * see them.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer);
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    await this.#syncing;
    try {
      await this.#syncLanes();
      this.writeLedger(true);
      this.#ledger?.sync();
      this.deleteSpentFiles();
    } catch (error) {
      this.setFault(error);
    }
    for (const name of DROP_ORDER) this.#contents?.lanes[name].close();
    this.#ledger?.close();
  }
}

/** Deletes a file. It is no error if the file does not exist. */
export function deleteIfPresent(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
