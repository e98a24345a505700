/** Tests what a viewer with a scope gets from collectors that share a PostgreSQL database. */
import { after, before, describe } from 'node:test';
import { testScopes } from '../../../../support/collector/api/scope_tests.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

describe('on PostgreSQL', { skip: NO_POSTGRES }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server?.close());
  testScopes('a viewer with a scope', () => server);
});
