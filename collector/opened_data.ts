/** The data of the collector after it was opened, whatever the store. */
import type { AdminStore } from './admin/admin_store.ts';
import type { Storage } from './contract/storage.ts';
import type { CloudCount, CloudInstance, CloudInventory, Store } from './store/store.ts';

/** Everything that a running collector stores. The caller closes it, the admin data last. */
export interface OpenedData {
  store: Store;
  admin: AdminStore;
  /** Names the place for the log. It has no password. */
  place: string;
  /** Says what an acknowledgement is worth now. Rejects where the database cannot be asked. */
  storage(): Promise<Storage>;
  /** True where other collectors may use the same data. */
  isShared: boolean;
  closeAdmin(): Promise<void>;
}

export interface OpenedAdmin {
  admin: AdminStore;
  close(): Promise<void>;
}

/** The figures of the cloud about a fleet, as they are stored. */
export interface StoredFigures {
  counts: CloudCount[];
  instances: CloudInstance[];
  inventory: CloudInventory;
}
