/**
 * The step that brings the role auditor and the scopes of viewers to the embedded database.
 *
 * A check of a column cannot be changed, so that the tables are made anew. Sessions refer to tokens, and would be deleted
 * with them: they are kept aside meanwhile.
 */
export const SCOPES_STEP = `
  CREATE TABLE kept_sessions AS SELECT * FROM sessions;
  DROP TABLE sessions;
  CREATE TABLE new_tokens (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('person', 'enrolment', 'agent')),
    name TEXT NOT NULL,
    role TEXT CHECK (role IN ('viewer', 'auditor', 'admin')),
    host_id TEXT,
    created_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    -- 1: an agent's credential that it got for itself, with an enrolment token.
    enrolled INTEGER NOT NULL CHECK (enrolled IN (0, 1)),
    expires_ms INTEGER,
    last_used_ms INTEGER,
    revoked_ms INTEGER,
    enrolment_key_hash BLOB,
    -- JSON of the hosts that a viewer may see; null for the whole fleet.
    scope TEXT CHECK (scope IS NULL OR coalesce(role, '') = 'viewer'),
    CHECK ((kind = 'person') = (role IS NOT NULL)),
    CHECK ((kind = 'agent') = (host_id IS NOT NULL))
  ) STRICT, WITHOUT ROWID;
  INSERT INTO new_tokens (id, hash, kind, name, role, host_id, created_ms, created_by, enrolled, expires_ms, last_used_ms,
      revoked_ms, enrolment_key_hash)
    SELECT id, hash, kind, name, role, host_id, created_ms, created_by, enrolled, expires_ms, last_used_ms,
      revoked_ms, enrolment_key_hash FROM tokens;
  DROP TABLE tokens;
  ALTER TABLE new_tokens RENAME TO tokens;
  CREATE UNIQUE INDEX tokens_host ON tokens (host_id) WHERE kind = 'agent' AND revoked_ms IS NULL;
  CREATE INDEX tokens_expires ON tokens (expires_ms) WHERE expires_ms IS NOT NULL AND revoked_ms IS NULL;

  CREATE TABLE new_sign_in_codes (
    hash BLOB PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'auditor', 'admin')),
    name TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    scope TEXT CHECK (scope IS NULL OR coalesce(role, '') = 'viewer')
  ) STRICT, WITHOUT ROWID;
  INSERT INTO new_sign_in_codes (hash, role, name, expires_ms) SELECT hash, role, name, expires_ms FROM sign_in_codes;
  DROP TABLE sign_in_codes;
  ALTER TABLE new_sign_in_codes RENAME TO sign_in_codes;

  CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,
    -- Null for who came with a sign-in code or from an identity provider; else name, role and scope are the token's own.
    token TEXT REFERENCES tokens (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'auditor', 'admin')),
    last_used_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    scope TEXT CHECK (scope IS NULL OR coalesce(role, '') = 'viewer'),
    -- What the identity provider said when it signed the person in. It ends the session there, and opens nothing.
    id_token TEXT
  ) STRICT, WITHOUT ROWID;
  INSERT INTO sessions (hash, token, name, role, last_used_ms, expires_ms)
    SELECT hash, token, name, role, last_used_ms, expires_ms FROM kept_sessions;
  DROP TABLE kept_sessions;
  CREATE INDEX sessions_expires ON sessions (expires_ms);
`;
