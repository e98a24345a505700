/**
 * Schema step of the admin database: destinations, alerts, deliveries that wait, and the states of the
 * alerts' subjects.
 */
export const ALERTS_STEP = `
  CREATE TABLE alert_destinations (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    enabled INTEGER NOT NULL,
    rules TEXT NOT NULL,
    -- With its secrets, which are needed to send: the file is its owner's alone.
    config TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    last_delivered_us INTEGER,
    last_error TEXT
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE alerts (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    rule TEXT NOT NULL,
    subject TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    severity TEXT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    link TEXT
  ) STRICT;

  CREATE TABLE alert_deliveries (
    destination TEXT NOT NULL REFERENCES alert_destinations (id) ON DELETE CASCADE,
    alert INTEGER NOT NULL REFERENCES alerts (number) ON DELETE CASCADE,
    attempts INTEGER NOT NULL,
    queued_us INTEGER NOT NULL,
    next_us INTEGER NOT NULL,
    PRIMARY KEY (destination, alert)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX alert_deliveries_of_alert ON alert_deliveries (alert);

  CREATE TABLE alert_subjects (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (kind, id)
  ) STRICT, WITHOUT ROWID;
`;
