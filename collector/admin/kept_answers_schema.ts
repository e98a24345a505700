/** Schema step of the admin database: kept answers, see `KeptAnswerRows`. */
export const KEPT_ANSWERS_STEP = `
  CREATE TABLE kept_answers (
    name TEXT NOT NULL,
    part INTEGER NOT NULL,
    as_of_us INTEGER NOT NULL,
    made_with TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (name, part)
  ) STRICT;
`;
