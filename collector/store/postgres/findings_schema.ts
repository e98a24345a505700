/**
 * The schema of the findings in PostgreSQL. The tables have the names and columns of the embedded store, whose accounting
 * writes them (`working_set.ts`), with these differences:
 *
 * - Raw calls are partitioned by day, so that retention drops tables. Calls outside the days that have a partition are
 *   in the default one.
 * - Rows that all collectors change carry a slot, one for each writer. Readers add the slots up.
 * - Raw roll-ups and coverage reports are read by nothing: only their ids are kept, for some days.
 * - `version` of a host changes with every transaction about it: what a writer remembers of the host is good for as long
 *   as its version is the same.
 * - Texts that can be long are unique by the SHA-256 of their key, because an index entry is bounded to 2,704 bytes.
 *
 * Texts that are compared or sorted have the collation "C", which orders by bytes as SQLite does.
 *
 * The file is long because it has all tables.
 */
import { ARRIVALS_TABLE } from './arrivals.ts';
import { packHeartbeats } from './heartbeats_step.ts';
import type { DatabaseSchema } from './schema_steps.ts';

/**
 * Room in each page for new versions of its rows. An update that finds it changes no index (HOT, PostgreSQL 15
 * documentation, 73.7).
 */
const ROOM = 'WITH (fillfactor = 70)';
const SUMS = 'count bigint NOT NULL, first_us bigint NOT NULL, last_us bigint NOT NULL';

const TABLES = `
  CREATE TABLE hosts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host_id text COLLATE "C" NOT NULL UNIQUE,
    name text COLLATE "C" NOT NULL,
    facts text NOT NULL,
    first_us bigint,
    last_us bigint,
    version bigint NOT NULL DEFAULT 0
  ) ${ROOM};
  CREATE TABLE streams (
    stream text COLLATE "C" PRIMARY KEY,
    host bigint NOT NULL,
    last_seq bigint NOT NULL
  ) ${ROOM};

  -- Rows are inserted one writer after the other: numbers are in the order in which rows became visible.
  CREATE TABLE identities (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text COLLATE "C" NOT NULL UNIQUE,
    facts text NOT NULL
  );
  CREATE TABLE kinds (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash bytea NOT NULL UNIQUE,
    key text NOT NULL,
    class smallint NOT NULL,
    version smallint,
    endpoint text,
    category text NOT NULL,
    status integer,
    outcome text NOT NULL,
    fallback text,
    role text,
    user_agent bigint,
    last_us bigint NOT NULL,
    answered_by text,
    caller_role text
  );
  CREATE TABLE shapes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash bytea NOT NULL UNIQUE,
    key text NOT NULL,
    kind text NOT NULL,
    server_version integer,
    method text,
    destination_address text NOT NULL,
    destination_port integer NOT NULL,
    last_us bigint NOT NULL,
    hops integer,
    token_hop_limit integer,
    relay text
  );
  CREATE TABLE user_agents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash bytea NOT NULL UNIQUE,
    key text NOT NULL,
    text text NOT NULL,
    last_us bigint NOT NULL
  );
  CREATE TABLE profiles (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash bytea NOT NULL UNIQUE,
    facts text NOT NULL,
    first_us bigint
  );
  CREATE TABLE host_profiles (
    host bigint NOT NULL,
    profile bigint NOT NULL,
    until_us bigint,
    PRIMARY KEY (host, profile)
  );
  CREATE INDEX hosts_of_profile ON host_profiles (profile);

  CREATE TABLE callers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash bytea NOT NULL UNIQUE,
    identity bigint NOT NULL,
    host bigint NOT NULL,
    last_us bigint NOT NULL
  );
  CREATE INDEX callers_of_identity ON callers (identity, last_us);
  CREATE TABLE caller_facts (caller bigint PRIMARY KEY, facts text NOT NULL);

  CREATE TABLE calls (
    time_us bigint NOT NULL,
    id uuid NOT NULL,
    host bigint NOT NULL,
    identity bigint NOT NULL,
    caller bigint NOT NULL,
    kind bigint NOT NULL,
    shape bigint NOT NULL,
    user_agent bigint,
    path text COLLATE "C",
    query text,
    duration_ms double precision,
    source_address text NOT NULL,
    source_port integer NOT NULL,
    PRIMARY KEY (host, time_us, id)
  ) PARTITION BY RANGE (time_us);
  CREATE INDEX calls_by_time ON calls (time_us, id);
  CREATE INDEX calls_of_identity ON calls (identity, time_us, id);
  CREATE TABLE calls_other PARTITION OF calls DEFAULT;
  -- Number of raw calls of each day since 1970, by the slots of writers.
  CREATE TABLE call_counts (
    day integer NOT NULL,
    slot smallint NOT NULL,
    calls bigint NOT NULL,
    PRIMARY KEY (day, slot)
  ) ${ROOM};
  CREATE TABLE future_calls (id uuid PRIMARY KEY, stored_us bigint NOT NULL);
  CREATE INDEX future_calls_by_time ON future_calls (stored_us);
  -- Ids of roll-ups and coverage reports, by the day on which they were received.
  CREATE TABLE record_ids (
    day integer NOT NULL,
    host bigint NOT NULL,
    id uuid NOT NULL,
    PRIMARY KEY (host, id, day)
  ) PARTITION BY RANGE (day);
  CREATE TABLE record_ids_other PARTITION OF record_ids DEFAULT;

  CREATE TABLE hourly (
    host bigint NOT NULL, class smallint NOT NULL, hour integer NOT NULL, identity bigint NOT NULL, kind bigint NOT NULL,
    ${SUMS}, PRIMARY KEY (host, class, hour, identity, kind)
  ) ${ROOM};
  CREATE INDEX hourly_of_identity ON hourly (identity, class, hour);
  CREATE INDEX hourly_by_hour ON hourly (hour, class, host);
  CREATE TABLE daily (
    host bigint NOT NULL, class smallint NOT NULL, day integer NOT NULL, identity bigint NOT NULL, kind bigint NOT NULL,
    ${SUMS}, PRIMARY KEY (host, class, day, identity, kind)
  ) ${ROOM};
  CREATE INDEX daily_of_identity ON daily (identity, class, day);
  CREATE INDEX daily_by_day ON daily (day, class, host);
  CREATE TABLE fleet_hourly (
    class smallint NOT NULL, hour integer NOT NULL, identity bigint NOT NULL, kind bigint NOT NULL, slot smallint NOT NULL,
    ${SUMS}, PRIMARY KEY (class, hour, identity, kind, slot)
  ) ${ROOM};
  CREATE TABLE fleet_daily (
    class smallint NOT NULL, day integer NOT NULL, identity bigint NOT NULL, kind bigint NOT NULL, slot smallint NOT NULL,
    ${SUMS}, PRIMARY KEY (class, day, identity, kind, slot)
  ) ${ROOM};

  CREATE TABLE identity_hosts (
    identity bigint NOT NULL,
    host bigint NOT NULL,
    first_us bigint NOT NULL,
    last_us bigint NOT NULL,
    last_v1_us bigint,
    PRIMARY KEY (host, identity)
  ) ${ROOM};
  CREATE INDEX hosts_of_identity ON identity_hosts (identity);
  CREATE TABLE measured_hops (
    identity bigint NOT NULL,
    host bigint NOT NULL,
    hops integer NOT NULL,
    token_hop_limit integer,
    last_us bigint NOT NULL,
    PRIMARY KEY (host, identity, hops)
  );
  CREATE TABLE paths_v1 (
    identity bigint NOT NULL,
    listed smallint NOT NULL,
    path text COLLATE "C" NOT NULL,
    slot smallint NOT NULL,
    count bigint NOT NULL,
    last_us bigint NOT NULL,
    PRIMARY KEY (identity, listed, path, slot)
  ) ${ROOM};

  CREATE TABLE host_usage (host bigint PRIMARY KEY, day integer NOT NULL, used text NOT NULL) ${ROOM};
  CREATE TABLE watched (
    host bigint PRIMARY KEY,
    first_us bigint NOT NULL,
    last_us bigint NOT NULL,
    boot_id text NOT NULL
  ) ${ROOM};
  CREATE TABLE runs (host bigint PRIMARY KEY, state text NOT NULL) ${ROOM};
  CREATE TABLE boots (
    host bigint NOT NULL,
    boot_id text COLLATE "C" NOT NULL,
    first_us bigint NOT NULL,
    last_us bigint NOT NULL,
    PRIMARY KEY (host, boot_id)
  );
  CREATE TABLE gaps (
    host bigint NOT NULL,
    reason text COLLATE "C" NOT NULL,
    start_us bigint NOT NULL,
    end_us bigint NOT NULL,
    amounts text,
    PRIMARY KEY (host, reason, start_us)
  );
  CREATE INDEX gaps_by_end ON gaps (end_us);
  CREATE TABLE coverage_days (
    host bigint NOT NULL,
    day integer NOT NULL,
    live_ms double precision NOT NULL,
    kernel_connections bigint,
    seen_connections bigint NOT NULL,
    losses text,
    PRIMARY KEY (host, day)
  ) ${ROOM};

  CREATE TABLE heartbeats (
    host_id text COLLATE "C" PRIMARY KEY,
    time_us bigint NOT NULL,
    heartbeat text NOT NULL,
    received_us bigint NOT NULL
  );

  CREATE TABLE cloud_counts (
    host_id text COLLATE "C" NOT NULL,
    start_us bigint NOT NULL,
    end_us bigint NOT NULL,
    no_token bigint NOT NULL,
    no_token_rejected bigint,
    PRIMARY KEY (host_id, start_us)
  );
  CREATE INDEX cloud_counts_of_calls ON cloud_counts (end_us) WHERE no_token > 0 OR no_token_rejected > 0;
  CREATE TABLE cloud_instances (
    host_id text COLLATE "C" PRIMARY KEY,
    http_tokens text,
    hop_limit integer,
    supplied_us bigint NOT NULL,
    http_endpoint text
  );
  CREATE TABLE cloud_members (
    host_id text COLLATE "C" PRIMARY KEY,
    account text NOT NULL,
    region text NOT NULL,
    state text,
    launched_us bigint,
    terminated_us bigint,
    image_id text,
    scaling_group text,
    template_id text,
    template_version bigint,
    is_spot smallint,
    managed_by text,
    tags text,
    supplied_us bigint NOT NULL,
    profile bigint
  );
  CREATE INDEX members_of_profile ON cloud_members (profile);
  CREATE TABLE cloud_resources (
    kind text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    region text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    facts text NOT NULL,
    supplied_us bigint NOT NULL,
    PRIMARY KEY (kind, account, region, id)
  );
  CREATE TABLE cloud_briefs (
    host bigint PRIMARY KEY,
    state smallint NOT NULL,
    launched_us bigint,
    terminated_us bigint,
    supplied_us bigint,
    profile bigint,
    tokens smallint NOT NULL,
    tokens_supplied_us bigint,
    launch_counted_us bigint,
    end_counted_us bigint
  );
  CREATE TABLE agentless (host_id text COLLATE "C" PRIMARY KEY);

  -- "epoch" changes when rows that writers remember were deleted; "forgotten_until_us" as in the embedded store.
  CREATE TABLE sums (name text PRIMARY KEY, value bigint NOT NULL);
  INSERT INTO sums VALUES ('epoch', 0);
`;

export const FINDINGS_SCHEMA: DatabaseSchema = {
  name: 'findings',
  steps: [
    { release: '0.1.0', summary: 'makes the tables', apply: TABLES },
    // A release before it would store calls that are missing in the streams of calls.
    {
      release: '0.1.0',
      summary: 'adds the order in which calls arrive',
      apply: ARRIVALS_TABLE,
      breaks: true,
    },
    {
      release: '0.1.0',
      summary: 'keeps the times of heartbeats apart from their contents, which are compressed',
      apply: packHeartbeats,
      breaks: true,
    },
  ],
};
