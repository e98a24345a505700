/** The interface of what a stream is read from. A position is a number that grows from record to record. */
import type { ExportItem } from '../export/item.ts';

export interface StreamPage {
  items: { position: number; item: ExportItem }[];
  /** Position after which the following records come. */
  next: number;
}

/** The records that wait behind a position. */
export interface Waiting {
  behind: number;
  /** When the first of them began to wait (microseconds since 1970); null where none waits. */
  waitsSinceUs: number | null;
  /** The earliest time of one of the first of them, which is the first that retention deletes; null where none waits. */
  oldestUs: number | null;
  /** All records from the position up to this one were deleted. */
  deletedUpTo: number;
}

export interface StreamSource {
  /** True where each position had a record: those without one were deleted before they were read. */
  readonly isDense: boolean;
  /** Returns the place at which a new destination begins. Records that are stored after it resolves are behind it. */
  begin(): Promise<number>;
  read(after: number, limit: number): Promise<StreamPage>;
  waiting(after: number): Promise<Waiting>;
  /** Called with the lowest position of all destinations; for calls also where there is none. */
  passed(position: number): Promise<void>;
}
