/** The data of the collector after it was opened, whatever the store. */
import type { AdminStore } from './admin/admin_store.ts';
import type { Storage } from './contract/storage.ts';
import type { FeedRelay } from './live/feed_relay.ts';
import type { CloudCount, CloudInstance, CloudInventory, Store } from './store/store.ts';

/** Everything that a running collector stores. The caller closes it: the feed, the admin data and then the store. */
export interface OpenedData {
  store: Store;
  admin: AdminStore;
  /** Names the place for the log. It has no password. */
  place: string;
  /** Says what an acknowledgement is worth now. Rejects where the database cannot be asked. */
  storage(): Promise<Storage>;
  /** Joins the live feed to those of the other collectors; null where there are none. */
  feed: FeedRelay | null;
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
