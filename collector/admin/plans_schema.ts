/**
 * Schema step of the admin database: plans as their processes have reported them, and hosts whose change was confirmed.
 * Times are microseconds since 1970.
 */
export const PLANS_STEP = `
  CREATE TABLE plans (
    id TEXT PRIMARY KEY,
    -- Grows with each report of any plan, so that what is new is found by an index.
    change INTEGER NOT NULL UNIQUE,
    sequence INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    begun_us INTEGER,
    begun_by TEXT,
    phase TEXT NOT NULL CHECK (phase IN ('made', 'running', 'paused', 'ended')),
    phase_since_us INTEGER NOT NULL,
    phase_reason TEXT,
    is_carried_out INTEGER NOT NULL CHECK (is_carried_out IN (0, 1)),
    step_count INTEGER NOT NULL,
    left_out_count INTEGER NOT NULL,
    -- Number of steps by state, JSON.
    states TEXT NOT NULL,
    has_more INTEGER NOT NULL CHECK (has_more IN (0, 1)),
    -- By the collector's clock.
    reported_us INTEGER NOT NULL,
    reported_by TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX plans_created ON plans (created_us);

  CREATE TABLE plan_steps (
    plan TEXT NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    wave INTEGER NOT NULL,
    group_name TEXT NOT NULL,
    role TEXT NOT NULL,
    state TEXT NOT NULL,
    -- When the step entered a roll-back for the first time, and when it was held last.
    undone_us INTEGER,
    held_us INTEGER,
    -- The step as it was reported, JSON.
    step TEXT NOT NULL,
    PRIMARY KEY (plan, wave, group_name, position),
    UNIQUE (plan, position)
  ) STRICT, WITHOUT ROWID;

  -- Instances that require tokens, as the latest confirmed step says.
  CREATE TABLE confirmed_hosts (
    host_id TEXT PRIMARY KEY,
    plan TEXT NOT NULL,
    step TEXT NOT NULL,
    confirmed_us INTEGER NOT NULL,
    -- Null: in force. Else when the plan's process read that somebody has undone the change.
    drifted_us INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX confirmed_hosts_confirmed ON confirmed_hosts (confirmed_us);
`;
