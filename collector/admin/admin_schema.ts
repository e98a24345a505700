/**
 * The admin database: credentials, sessions and everything that admins set. It is a database of its own, so
 * that signing in never waits for a transaction of calls.
 */
import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { OperatorError } from '../../common/operator_error.ts';
import type { OnSchemaChange } from '../store/schema_change.ts';
import { type Migration, openForWriting, type Schema } from '../store/sqlite/database.ts';
import {
  ALERTS_STEP,
  GIVEN_UP_STEP,
  OWNERS_STEP,
  PRESETS_STEP,
  STRUCTURED_ALERTS_STEP,
} from './alerts_schema.ts';
import { KEPT_ANSWERS_STEP } from './kept_answers_schema.ts';
import { LEASES_STEP } from './leases_schema.ts';
import { PLANS_STEP } from './plans_schema.ts';
import { SCOPES_STEP } from './scopes_schema.ts';
import { STREAMS_STEP } from './streams_schema.ts';
import { TRIAGE_STEP } from './triage_schema.ts';

/**
 * Times are milliseconds since 1970. A `hash` is the SHA-256 of a secret of 256 random bits; the secret
 * itself is not stored.
 */
const MIGRATIONS: readonly Migration[] = [
  `
  CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('person', 'enrolment', 'agent')),
    name TEXT NOT NULL,
    role TEXT CHECK (role IN ('viewer', 'admin')),
    host_id TEXT,
    created_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    -- 1: an agent's credential that it got for itself, with an enrolment token.
    enrolled INTEGER NOT NULL CHECK (enrolled IN (0, 1)),
    expires_ms INTEGER,
    last_used_ms INTEGER,
    revoked_ms INTEGER,
    CHECK ((kind = 'person') = (role IS NOT NULL)),
    CHECK ((kind = 'agent') = (host_id IS NOT NULL))
  ) STRICT, WITHOUT ROWID;
  -- A host has one credential: nobody else takes its name while it is valid.
  CREATE UNIQUE INDEX tokens_host ON tokens (host_id) WHERE kind = 'agent' AND revoked_ms IS NULL;
  CREATE INDEX tokens_expires ON tokens (expires_ms) WHERE expires_ms IS NOT NULL AND revoked_ms IS NULL;

  -- Hosts whose agents came with a client certificate: nobody takes their names with less.
  CREATE TABLE certified_hosts (
    host_id TEXT PRIMARY KEY,
    first_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE sign_in_codes (
    hash BLOB PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'admin')),
    name TEXT NOT NULL,
    expires_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,
    -- Null for who came with a sign-in code; else name and role are the token's own.
    token TEXT REFERENCES tokens (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'admin')),
    last_used_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX sessions_expires ON sessions (expires_ms);

  CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT,
    source_address TEXT
  ) STRICT;

  CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  ALERTS_STEP,
  // The SHA-256 of the key that the agent showed when it enrolled, see `EnrolmentClaim`.
  'ALTER TABLE tokens ADD COLUMN enrolment_key_hash BLOB',
  TRIAGE_STEP,
  PLANS_STEP,
  LEASES_STEP,
  STRUCTURED_ALERTS_STEP,
  GIVEN_UP_STEP,
  PRESETS_STEP,
  STREAMS_STEP,
  KEPT_ANSWERS_STEP,
  SCOPES_STEP,
  OWNERS_STEP,
];

export const ADMIN: Schema = { name: 'admin', file: 'admin.db', migrations: MIGRATIONS };

/**
 * Opens the admin database. The collector creates it where it is missing. A command does not (`mustExist`): a
 * second database in a mistyped directory, or one that belongs to root, would be worse than an error. Throws
 * `OperatorError`.
 */
export function openAdmin(
  dataDir: string,
  { mustExist = false, onSchemaChange }: { mustExist?: boolean; onSchemaChange?: OnSchemaChange } = {},
): DatabaseSync {
  const file = join(dataDir, ADMIN.file);
  if (lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink()) {
    throw new OperatorError(
      1,
      `${file} is a symbolic link, and the tokens would be kept elsewhere. Remove it.`,
    );
  }
  if (mustExist && !existsSync(file)) {
    throw new OperatorError(
      1,
      `There is no ${file}. Start "imdswatch collector" (or "imdswatch up") once, or name its directory with --data-dir.`,
    );
  }
  return openForWriting(dataDir, ADMIN, onSchemaChange);
}
