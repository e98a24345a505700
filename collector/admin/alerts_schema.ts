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

/**
 * Schema step: what an alert is about and whether it is over, the alerts that are open, and what a destination gets.
 * Destinations of people keep their summaries; machines get each alert.
 */
export const STRUCTURED_ALERTS_STEP = `
  ALTER TABLE alerts ADD COLUMN state TEXT NOT NULL DEFAULT 'firing';
  ALTER TABLE alerts ADD COLUMN audience TEXT NOT NULL DEFAULT 'all';
  -- JSON: the rest of the alert. Alerts of earlier releases have none.
  ALTER TABLE alerts ADD COLUMN details TEXT NOT NULL DEFAULT '{}';
  UPDATE alerts SET state = 'resolved'
    WHERE rule IN ('host_silent', 'enforcement_undone') AND severity = 'info';

  CREATE TABLE open_alerts (
    dedup_key TEXT PRIMARY KEY,
    rule TEXT NOT NULL,
    started_us INTEGER NOT NULL,
    alert TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX open_alerts_started ON open_alerts (started_us, dedup_key);

  ALTER TABLE alert_destinations ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE alert_destinations ADD COLUMN send_resolved INTEGER NOT NULL DEFAULT 1;
  UPDATE alert_destinations SET digest = 1 WHERE json_extract(config, '$.kind') IN ('slack', 'email');
`;

/** Schema step: alerts that were given up, by destination. */
export const GIVEN_UP_STEP = `
  ALTER TABLE alert_destinations ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE alert_destinations ADD COLUMN given_up_us INTEGER;
  ALTER TABLE alert_destinations ADD COLUMN given_up_reason TEXT;
`;

/** Schema step: the owners whose alerts a destination gets, as JSON; null for all alerts. */
export const OWNERS_STEP = `
  ALTER TABLE alert_destinations ADD COLUMN owners TEXT;
`;

/** Schema step: webhooks and chats are presets of the generic HTTP destination. */
export const PRESETS_STEP = `
  UPDATE alert_destinations SET config = json_object(
      'kind', 'http',
      'preset', json_extract(config, '$.kind'),
      'values', CASE WHEN json_extract(config, '$.secret') IS NULL
        THEN json_object('url', json_extract(config, '$.url'))
        ELSE json_object('url', json_extract(config, '$.url'), 'secret', json_extract(config, '$.secret')) END)
    WHERE json_extract(config, '$.kind') IN ('webhook', 'slack');
`;
