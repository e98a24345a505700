/**
 * Schema step 7: hops. Calls have how many routers stood between the caller and the service. For fallbacks this is kept
 * for each workload on each host as well, because the advised hop limit is computed from it.
 */
export const HOPS_STEP = `
  ALTER TABLE shapes ADD COLUMN hops INTEGER;
  ALTER TABLE shapes ADD COLUMN token_hop_limit INTEGER;

  CREATE TABLE measured_hops (
    identity INTEGER NOT NULL,
    host INTEGER NOT NULL,
    hops INTEGER NOT NULL,
    token_hop_limit INTEGER,
    last_us INTEGER NOT NULL,
    PRIMARY KEY (identity, host, hops)
  ) STRICT, WITHOUT ROWID;
`;
