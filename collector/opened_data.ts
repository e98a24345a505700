/** The data of the collector after it was opened, whatever the store. */
import type { AdminStore } from './admin/admin_store.ts';
import type { StoreStorage } from './contract/storage.ts';
import type { FeedRelay } from './live/feed_relay.ts';
import type { ReaderState } from './store/postgres/standby_reader.ts';
import type { CloudCount, CloudInstance, CloudInventory, Store, StoreQueries } from './store/store.ts';

/** The settings of the standbys that answer questions. */
export interface ReaderPlace {
  store_reader?: string | undefined;
  store_reader_max_lag_seconds?: number;
}

/** Answers the questions of people, from a standby where one can. */
export interface OpenedReader extends StoreQueries {
  /** From now on, answers have everything that was stored until now. */
  requireNews(): void;
  state(): ReaderState;
}

/** Everything that a running collector stores. The caller closes it: the feed, the admin data and then the store. */
export interface OpenedData {
  store: Store;
  /** Null where the store itself answers all questions. */
  reader: OpenedReader | null;
  admin: AdminStore;
  /** Names the place for the log. It has no password. */
  place: string;
  /** Says what an acknowledgement is worth now. Rejects where the database cannot be asked. */
  storage(): Promise<StoreStorage>;
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
