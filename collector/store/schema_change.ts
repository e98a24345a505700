/** A change of a schema, done or planned. Both stores report it, for the log and for `imdswatch store migrate`. */
export interface SchemaChange {
  /** `findings` or `admin`; in PostgreSQL also `live`. */
  schema: string;
  /** Number of steps before; 0 where there were no tables. */
  from: number;
  /** Number of steps afterwards. Equal to `from` where nothing was to be done. */
  to: number;
  /** One text for each step between them, where the store describes its steps. */
  steps: readonly string[];
  /** The oldest release that may use the data afterwards. */
  oldestRelease: string;
}

/** Called after a schema was changed. */
export type OnSchemaChange = (change: SchemaChange) => void;
