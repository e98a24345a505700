/**
 * Schema step 2: workloads in place of programs, roll-ups by hour and by day, gaps of coverage. The rows of
 * step 1 are carried over, and roll-ups are made from them. The file is long because it has the whole schema
 * of the step and the SQL that fills it.
 */
import type { DatabaseSync } from 'node:sqlite';
import { type CallerFacts, identityId, workloadIdentity } from '../workload_identity.ts';
import { GapWriter } from './gap_writer.ts';

/**
 * `class`: 1 IMDSv1, 2 IMDSv2, 3 neither (blocked attempts, endpoints without versions), 0 the sum of class 2
 * over workloads (identity 0, kind 0). It leads every key, so that IMDSv1 is read without touching the rest.
 * `first_us` and `last_us` of roll-ups count from the start of their hour or day: small integers take less
 * room.
 */
const TABLES = `
  CREATE TABLE new_identities (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    facts TEXT NOT NULL
  ) STRICT;

  CREATE TABLE kinds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    class INTEGER NOT NULL,
    version INTEGER,
    endpoint TEXT,
    category TEXT NOT NULL,
    status INTEGER,
    outcome TEXT NOT NULL,
    fallback TEXT,
    role TEXT,
    user_agent INTEGER,
    last_us INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE shapes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    server_version INTEGER,
    method TEXT,
    destination_address TEXT NOT NULL,
    destination_port INTEGER NOT NULL,
    last_us INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE new_user_agents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL,
    last_us INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE new_callers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    identity INTEGER NOT NULL,
    host INTEGER NOT NULL,
    last_us INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX callers_of_identity ON new_callers (identity, last_us);
  -- Apart from the row above, which changes with every batch: a page holds some fifty of those, and three of these.
  CREATE TABLE caller_facts (
    caller INTEGER PRIMARY KEY,
    facts TEXT NOT NULL
  ) STRICT;

  CREATE TABLE new_calls (
    time_us INTEGER NOT NULL,
    id BLOB NOT NULL,
    host INTEGER NOT NULL,
    identity INTEGER NOT NULL,
    caller INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    shape INTEGER NOT NULL,
    user_agent INTEGER,
    path TEXT,
    query TEXT,
    duration_ms REAL,
    source_address TEXT NOT NULL,
    source_port INTEGER NOT NULL,
    PRIMARY KEY (time_us, id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE hourly (
    class INTEGER NOT NULL, hour INTEGER NOT NULL, identity INTEGER NOT NULL, host INTEGER NOT NULL, kind INTEGER NOT NULL,
    count INTEGER NOT NULL, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL,
    PRIMARY KEY (class, hour, identity, host, kind)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE daily (
    class INTEGER NOT NULL, day INTEGER NOT NULL, identity INTEGER NOT NULL, host INTEGER NOT NULL, kind INTEGER NOT NULL,
    count INTEGER NOT NULL, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL,
    PRIMARY KEY (class, day, identity, host, kind)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE fleet_hourly (
    class INTEGER NOT NULL, hour INTEGER NOT NULL, identity INTEGER NOT NULL, kind INTEGER NOT NULL,
    count INTEGER NOT NULL, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL,
    PRIMARY KEY (class, hour, identity, kind)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE fleet_daily (
    class INTEGER NOT NULL, day INTEGER NOT NULL, identity INTEGER NOT NULL, kind INTEGER NOT NULL,
    count INTEGER NOT NULL, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL,
    PRIMARY KEY (class, day, identity, kind)
  ) STRICT, WITHOUT ROWID;

  -- How often the roll-ups of a day were changed.
  CREATE TABLE changed_days (day INTEGER PRIMARY KEY, changes INTEGER NOT NULL) STRICT;

  CREATE TABLE identity_hosts (
    identity INTEGER NOT NULL,
    host INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    last_v1_us INTEGER,
    PRIMARY KEY (identity, host)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX identities_of_host ON identity_hosts (host);

  -- listed 0: the line for all paths that are not listed one by one.
  CREATE TABLE paths_v1 (
    identity INTEGER NOT NULL,
    listed INTEGER NOT NULL,
    path TEXT NOT NULL,
    count INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    PRIMARY KEY (identity, listed, path)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE watched (
    host INTEGER PRIMARY KEY,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    boot_id TEXT NOT NULL
  ) STRICT;
  CREATE TABLE boots (
    host INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    PRIMARY KEY (host, boot_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE gaps (
    host INTEGER NOT NULL,
    reason TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    amounts TEXT,
    PRIMARY KEY (host, reason, start_us)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX gaps_by_end ON gaps (end_us);
  CREATE TABLE coverage_days (
    day INTEGER NOT NULL,
    host INTEGER NOT NULL,
    live_ms REAL NOT NULL,
    kernel_connections INTEGER,
    seen_connections INTEGER NOT NULL,
    losses TEXT,
    PRIMARY KEY (day, host)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX coverage_by_end ON coverage (end_us);

  CREATE TABLE cloud_counts (
    host_id TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    no_token INTEGER NOT NULL,
    no_token_rejected INTEGER,
    PRIMARY KEY (host_id, start_us)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE cloud_instances (
    host_id TEXT PRIMARY KEY,
    http_tokens TEXT,
    hop_limit INTEGER,
    supplied_us INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE sums (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO sums VALUES ('calls', 0);

  ALTER TABLE hosts ADD COLUMN first_us INTEGER;
  ALTER TABLE hosts ADD COLUMN last_us INTEGER;
  ALTER TABLE heartbeats ADD COLUMN received_us INTEGER NOT NULL DEFAULT 0;
`;

/**
 * `:hour` and `:day` would be clearer, and SQLite has no integer constants: 3600000000 µs, 86400000000 µs.
 */
const BACKFILL = `
  INSERT INTO new_user_agents (id, key, text, last_us)
    SELECT id, key_of(text), text, 0 FROM user_agents;

  CREATE TEMP TABLE old_kinds AS
    SELECT DISTINCT version, endpoint, category, status, outcome, fallback, role, user_agent FROM calls
    UNION
    SELECT DISTINCT 2, NULL, l.category, l.status, l.outcome, NULL, NULL, r.user_agent
      FROM rollup_lines l JOIN rollups r ON r.id = l.rollup;
  INSERT INTO kinds (key, class, version, endpoint, category, status, outcome, fallback, role, user_agent, last_us)
    SELECT key_of(version, endpoint, category, status, outcome, fallback, role, user_agent), coalesce(version, 3),
           version, endpoint, category, status, outcome, fallback, role, user_agent, 0 FROM old_kinds;
  INSERT INTO shapes (key, kind, server_version, method, destination_address, destination_port, last_us)
    SELECT key_of(kind, server_version, method, destination_address, destination_port),
           kind, server_version, method, destination_address, destination_port, max(time_us) FROM calls GROUP BY 2, 3, 4, 5, 6;

  INSERT INTO new_calls
    SELECT c.time_us, c.id, c.host, m.identity, c.caller, k.id, s.id, c.user_agent, c.path, c.query, c.duration_ms,
           c.source_address, c.source_port
    FROM calls c
    JOIN moved m ON m.caller = c.caller
    JOIN kinds k ON k.key =
      key_of(c.version, c.endpoint, c.category, c.status, c.outcome, c.fallback, c.role, c.user_agent)
    JOIN shapes s ON s.key =
      key_of(c.kind, c.server_version, c.method, c.destination_address, c.destination_port);
  UPDATE sums SET value = (SELECT count(*) FROM new_calls) WHERE name = 'calls';
  UPDATE rollups SET identity = (SELECT m.identity FROM moved m WHERE m.caller = rollups.caller);

  CREATE TEMP TABLE counted AS
    SELECT k.class, c.identity, c.host, c.kind, c.caller, 1 AS count, c.time_us AS first_us, c.time_us AS last_us
      FROM new_calls c JOIN kinds k ON k.id = c.kind
    UNION ALL
    SELECT 2, r.identity, r.host, k.id, r.caller, l.count, r.first_us, r.last_us
      FROM rollups r JOIN rollup_lines l ON l.rollup = r.id
      JOIN kinds k ON k.key = key_of(2, NULL, l.category, l.status, l.outcome, NULL, NULL, r.user_agent);
  INSERT INTO counted
    SELECT 0, 0, host, 0, NULL, sum(count), min(first_us), max(last_us) FROM counted WHERE class = 2
    GROUP BY host, first_us / 3600000000;

  INSERT INTO hourly
    SELECT class, first_us / 3600000000 AS hour, identity, host, kind, sum(count),
           min(first_us) - first_us / 3600000000 * 3600000000, max(last_us) - first_us / 3600000000 * 3600000000
    FROM counted GROUP BY 1, 2, 3, 4, 5;
  INSERT INTO daily
    SELECT class, hour / 24 AS day, identity, host, kind, sum(count),
           min((hour % 24) * 3600000000 + first_us), max((hour % 24) * 3600000000 + last_us)
    FROM hourly GROUP BY 1, 2, 3, 4, 5;
  INSERT INTO fleet_hourly
    SELECT class, hour, identity, kind, sum(count), min(first_us), max(last_us) FROM hourly GROUP BY 1, 2, 3, 4;
  INSERT INTO fleet_daily
    SELECT class, day, identity, kind, sum(count), min(first_us), max(last_us) FROM daily GROUP BY 1, 2, 3, 4;
  INSERT INTO identity_hosts
    SELECT identity, host, min(first_us), max(last_us), max(CASE WHEN class = 1 THEN last_us END)
    FROM counted WHERE class > 0 GROUP BY 1, 2;

  CREATE TEMP TABLE asked AS
    SELECT c.identity, c.path, count(*) AS count, max(c.time_us) AS last_us,
           CASE WHEN c.path IS NULL OR length(c.path) > 512 THEN 1000000
             ELSE row_number() OVER (PARTITION BY c.identity, c.path IS NULL OR length(c.path) > 512 ORDER BY count(*) DESC) END AS place
    FROM new_calls c JOIN kinds k ON k.id = c.kind WHERE k.class = 1 GROUP BY c.identity, c.path;
  INSERT INTO paths_v1
    SELECT identity, place <= 100, CASE WHEN place <= 100 THEN path ELSE '' END, sum(count), max(last_us)
    FROM asked GROUP BY 1, 2, 3;

  CREATE TEMP TABLE lasts AS SELECT caller, host, max(last_us) AS last_us FROM counted WHERE class > 0 GROUP BY caller;
  INSERT INTO new_callers
    SELECT c.id, c.hash, m.identity, l.host, l.last_us
    FROM callers c JOIN moved m ON m.caller = c.id JOIN lasts l ON l.caller = c.id;
  INSERT INTO caller_facts SELECT c.id, c.facts FROM callers c JOIN new_callers n ON n.id = c.id;
  UPDATE kinds SET last_us = l.last_us
    FROM (SELECT kind, max(last_us) AS last_us FROM counted GROUP BY kind) l WHERE l.kind = kinds.id;
  UPDATE new_user_agents SET last_us = l.last_us
    FROM (SELECT user_agent, max(last_us) AS last_us FROM kinds GROUP BY user_agent) l WHERE l.user_agent = new_user_agents.id;

  UPDATE heartbeats SET received_us = time_us;
  UPDATE hosts SET first_us = t.first_us, last_us = t.last_us FROM (
    SELECT host, min(first_us) AS first_us, max(last_us) AS last_us FROM (
      SELECT host, first_us, last_us FROM counted UNION ALL SELECT host, start_us, end_us FROM coverage
    ) GROUP BY host
  ) t WHERE t.host = hosts.id;

  DROP TABLE temp.old_kinds; DROP TABLE temp.counted; DROP TABLE temp.asked; DROP TABLE temp.lasts; DROP TABLE temp.moved;
  DROP TABLE calls; DROP TABLE callers; DROP TABLE identities; DROP TABLE user_agents;
  ALTER TABLE new_calls RENAME TO calls;
  ALTER TABLE new_callers RENAME TO callers;
  ALTER TABLE new_identities RENAME TO identities;
  ALTER TABLE new_user_agents RENAME TO user_agents;
  CREATE TRIGGER facts_of_caller AFTER DELETE ON callers BEGIN DELETE FROM caller_facts WHERE caller = old.id; END;
  CREATE INDEX calls_of_identity ON calls (identity, time_us);
  CREATE INDEX calls_of_host ON calls (host, time_us);
  CREATE INDEX rollups_by_last ON rollups (last_us);
`;

/** Fields that agents of that time did not report. */
const NOT_REPORTED = {
  runId: null,
  uptime: null,
  joinedConnections: null,
  undecidedConnections: 0,
  openCalls: 0,
  openSinceUs: null,
  leftOut: [],
};

export function toWorkloads(database: DatabaseSync): void {
  database.exec(TABLES);
  database.function('key_of', { varargs: true, deterministic: true }, (...values) => JSON.stringify(values));
  moveCallers(database);
  database.exec(BACKFILL);
  const gaps = new GapWriter(database, null, new Map());
  for (const row of database.prepare('SELECT * FROM coverage ORDER BY host, id').all()) {
    gaps.addReport(Number(row['host']), {
      ...NOT_REPORTED,
      bootId: String(row['boot_id']),
      startUs: Number(row['start_us']),
      endUs: Number(row['end_us']),
      liveMs: Number(row['live_ms']),
      kernelConnections: row['kernel_connections'] as number | null,
      seenConnections: Number(row['seen_connections']),
      losses: JSON.parse(String(row['losses'])) as Record<string, number>,
    });
  }
}

/** Fills `temp.moved`, which has the workload of each caller. */
function moveCallers(database: DatabaseSync): void {
  database.exec('CREATE TEMP TABLE moved (caller INTEGER PRIMARY KEY, identity INTEGER NOT NULL)');
  const add = database.prepare(
    'INSERT INTO new_identities (key, facts) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET key = key RETURNING id',
  );
  const move = database.prepare('INSERT INTO temp.moved VALUES (?, ?)');
  const callers = database.prepare(
    `SELECT callers.id, callers.facts, identities.host_id, identities.source_address
     FROM callers JOIN identities ON identities.id = callers.identity`,
  );
  for (const row of callers.all()) {
    const facts = JSON.parse(String(row['facts'])) as CallerFacts;
    const identity = workloadIdentity(facts, String(row['host_id']), String(row['source_address']));
    move.run(Number(row['id']), Number(add.get(identityId(identity), JSON.stringify(identity))!['id']));
  }
}
