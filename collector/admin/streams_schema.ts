/**
 * Schema step of the admin database: destinations of streams with the place up to which each was sent, findings as they were
 * last reported, and an order of the audit log in which nothing is inserted later.
 */
export const STREAMS_STEP = `
  ALTER TABLE alert_destinations ADD COLUMN stream TEXT NOT NULL DEFAULT 'alerts';
  CREATE TABLE stream_cursors (
    destination TEXT PRIMARY KEY REFERENCES alert_destinations (id) ON DELETE CASCADE,
    -- Null: the stream has not begun.
    position INTEGER,
    since_us INTEGER,
    sent INTEGER NOT NULL,
    -- Records that were deleted before they were sent, and those that the shape of the destination cannot express.
    deleted INTEGER NOT NULL,
    unfit INTEGER NOT NULL,
    -- As of "checked_us": records that wait, and the time of the oldest one.
    behind INTEGER NOT NULL,
    oldest_us INTEGER,
    checked_us INTEGER,
    warning TEXT
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE findings (
    key TEXT PRIMARY KEY,
    -- Grows with each report of any finding.
    number INTEGER NOT NULL UNIQUE,
    change TEXT NOT NULL,
    -- What a change of makes a new report at once, and what only after a while.
    state TEXT NOT NULL,
    minor TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    finding TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  ALTER TABLE audit ADD COLUMN position INTEGER;
  UPDATE audit SET position = id;
  CREATE UNIQUE INDEX audit_position ON audit (position);
  CREATE INDEX audit_without_position ON audit (id) WHERE position IS NULL;
`;
