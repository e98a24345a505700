/** Schema step of the admin database: what people decided about offenders. Times are microseconds since 1970. */
export const TRIAGE_STEP = `
  CREATE TABLE triage (
    -- Id of the workload when it was set. Later release patterns can join it with others.
    workload TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('open', 'in_progress', 'exception', 'fixed')),
    set_us INTEGER NOT NULL,
    set_by TEXT NOT NULL,
    until_us INTEGER,
    reason TEXT,
    owner TEXT,
    ticket TEXT,
    notes TEXT,
    CHECK ((state = 'exception') = (until_us IS NOT NULL)),
    CHECK ((until_us IS NULL) = (reason IS NULL))
  ) STRICT, WITHOUT ROWID;
`;
