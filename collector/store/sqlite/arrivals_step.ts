/** Schema step: notes of the calls in the order of their arrival, see `collector/store/arrivals.ts`. */
export const ARRIVALS_STEP = `
  CREATE TABLE arrivals (
    last INTEGER PRIMARY KEY,
    calls INTEGER NOT NULL,
    stored_us INTEGER NOT NULL,
    oldest_us INTEGER NOT NULL,
    newest_us INTEGER NOT NULL,
    keys BLOB NOT NULL
  ) STRICT;
`;
