/**
 * The schema of the admin data in PostgreSQL. Tables and columns have the names and meanings of the embedded database
 * (`admin_schema.ts`), because the same statements run on both.
 *
 * Texts that are compared or sorted have the collation "C", which orders by bytes as SQLite does.
 */
import type { DatabaseSchema } from '../../store/postgres/schema_steps.ts';

const TABLES = `
  CREATE TABLE tokens (
    id text COLLATE "C" PRIMARY KEY,
    hash bytea NOT NULL UNIQUE,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('person', 'enrolment', 'agent')),
    name text COLLATE "C" NOT NULL,
    role text COLLATE "C" CHECK (role IN ('viewer', 'admin')),
    host_id text COLLATE "C",
    created_ms bigint NOT NULL,
    created_by text COLLATE "C" NOT NULL,
    enrolled smallint NOT NULL CHECK (enrolled IN (0, 1)),
    expires_ms bigint,
    last_used_ms bigint,
    revoked_ms bigint,
    enrolment_key_hash bytea,
    CHECK ((kind = 'person') = (role IS NOT NULL)),
    CHECK ((kind = 'agent') = (host_id IS NOT NULL))
  );
  CREATE UNIQUE INDEX tokens_host ON tokens (host_id) WHERE kind = 'agent' AND revoked_ms IS NULL;
  CREATE INDEX tokens_expires ON tokens (expires_ms) WHERE expires_ms IS NOT NULL AND revoked_ms IS NULL;
  CREATE INDEX tokens_revoked ON tokens (revoked_ms) WHERE revoked_ms IS NOT NULL;

  -- Numbers that grow in the transaction that changes what they are about. Collectors poll them.
  CREATE TABLE admin_versions (name text COLLATE "C" PRIMARY KEY, version bigint NOT NULL);
  INSERT INTO admin_versions VALUES ('revocations', 0), ('credentials', 0);
  -- A trigger counts revocations by SQL too.
  CREATE FUNCTION imdswatch_count_version() RETURNS trigger LANGUAGE plpgsql AS $body$
  BEGIN
    UPDATE admin_versions SET version = version + 1 WHERE name = TG_ARGV[0];
    RETURN NULL;
  END $body$;
  CREATE TRIGGER tokens_revoked AFTER UPDATE ON tokens FOR EACH ROW
    WHEN (OLD.revoked_ms IS DISTINCT FROM NEW.revoked_ms) EXECUTE FUNCTION imdswatch_count_version('revocations');
  CREATE TRIGGER credentials_ended AFTER UPDATE ON tokens FOR EACH ROW
    WHEN (NEW.kind = 'agent' AND OLD.revoked_ms IS DISTINCT FROM NEW.revoked_ms)
    EXECUTE FUNCTION imdswatch_count_version('credentials');
  CREATE TRIGGER credentials_added AFTER INSERT ON tokens FOR EACH ROW
    WHEN (NEW.kind = 'agent') EXECUTE FUNCTION imdswatch_count_version('credentials');
  CREATE TRIGGER credentials_deleted AFTER DELETE ON tokens FOR EACH ROW
    WHEN (OLD.kind = 'agent') EXECUTE FUNCTION imdswatch_count_version('credentials');

  CREATE TABLE leases (
    name text COLLATE "C" PRIMARY KEY,
    holder text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    until_ms bigint NOT NULL
  );

  CREATE TABLE certified_hosts (host_id text COLLATE "C" PRIMARY KEY, first_ms bigint NOT NULL);

  CREATE TABLE sign_in_codes (
    hash bytea PRIMARY KEY,
    role text COLLATE "C" NOT NULL CHECK (role IN ('viewer', 'admin')),
    name text COLLATE "C" NOT NULL,
    expires_ms bigint NOT NULL
  );

  CREATE TABLE sessions (
    hash bytea PRIMARY KEY,
    token text COLLATE "C" REFERENCES tokens (id) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL CHECK (role IN ('viewer', 'admin')),
    last_used_ms bigint NOT NULL,
    expires_ms bigint NOT NULL
  );
  CREATE INDEX sessions_expires ON sessions (expires_ms);
  CREATE INDEX sessions_of_token ON sessions (token) WHERE token IS NOT NULL;

  CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time_ms bigint NOT NULL,
    actor text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    detail text COLLATE "C",
    source_address text COLLATE "C"
  );

  CREATE TABLE settings (key text COLLATE "C" PRIMARY KEY, value text NOT NULL);

  CREATE TABLE alert_destinations (
    id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    enabled smallint NOT NULL,
    rules text NOT NULL,
    config text NOT NULL,
    created_us bigint NOT NULL,
    last_delivered_us bigint,
    last_error text COLLATE "C"
  );
  CREATE TABLE alerts (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    rule text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    time_us bigint NOT NULL,
    severity text COLLATE "C" NOT NULL,
    title text COLLATE "C" NOT NULL,
    text text COLLATE "C" NOT NULL,
    link text COLLATE "C"
  );
  CREATE TABLE alert_deliveries (
    destination text COLLATE "C" NOT NULL REFERENCES alert_destinations (id) ON DELETE CASCADE,
    alert bigint NOT NULL REFERENCES alerts (number) ON DELETE CASCADE,
    attempts integer NOT NULL,
    queued_us bigint NOT NULL,
    next_us bigint NOT NULL,
    PRIMARY KEY (destination, alert)
  );
  CREATE INDEX alert_deliveries_of_alert ON alert_deliveries (alert);
  CREATE TABLE alert_subjects (
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, id)
  );

  CREATE TABLE triage (
    workload text COLLATE "C" PRIMARY KEY,
    state text COLLATE "C" NOT NULL CHECK (state IN ('open', 'in_progress', 'exception', 'fixed')),
    set_us bigint NOT NULL,
    set_by text COLLATE "C" NOT NULL,
    until_us bigint,
    reason text COLLATE "C",
    owner text COLLATE "C",
    ticket text COLLATE "C",
    notes text COLLATE "C",
    CHECK ((state = 'exception') = (until_us IS NOT NULL)),
    CHECK ((until_us IS NULL) = (reason IS NULL))
  );

  CREATE TABLE plans (
    id text COLLATE "C" PRIMARY KEY,
    change bigint NOT NULL UNIQUE,
    sequence bigint NOT NULL,
    created_us bigint NOT NULL,
    created_by text COLLATE "C" NOT NULL,
    begun_us bigint,
    begun_by text COLLATE "C",
    phase text COLLATE "C" NOT NULL CHECK (phase IN ('made', 'running', 'paused', 'ended')),
    phase_since_us bigint NOT NULL,
    phase_reason text COLLATE "C",
    is_carried_out smallint NOT NULL CHECK (is_carried_out IN (0, 1)),
    step_count integer NOT NULL,
    left_out_count integer NOT NULL,
    states text NOT NULL,
    has_more smallint NOT NULL CHECK (has_more IN (0, 1)),
    reported_us bigint NOT NULL,
    reported_by text COLLATE "C" NOT NULL
  );
  CREATE INDEX plans_created ON plans (created_us);
  CREATE TABLE plan_steps (
    plan text COLLATE "C" NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
    position integer NOT NULL,
    id text COLLATE "C" NOT NULL,
    wave integer NOT NULL,
    group_name text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    undone_us bigint,
    held_us bigint,
    -- As text it keeps every byte of the report.
    step json NOT NULL,
    PRIMARY KEY (plan, wave, group_name, position),
    UNIQUE (plan, position)
  );
  CREATE TABLE confirmed_hosts (
    host_id text COLLATE "C" PRIMARY KEY,
    plan text COLLATE "C" NOT NULL,
    step text COLLATE "C" NOT NULL,
    confirmed_us bigint NOT NULL,
    drifted_us bigint
  );
  CREATE INDEX confirmed_hosts_confirmed ON confirmed_hosts (confirmed_us);
`;

export const POSTGRES_ADMIN: DatabaseSchema = { name: 'admin', steps: [{ apply: TABLES }] };
