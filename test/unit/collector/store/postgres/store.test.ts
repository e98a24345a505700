/** The store in PostgreSQL does what every store must do. */
import { after, afterEach, before, describe } from 'node:test';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../../../../collector/store/postgres/postgres_store.ts';
import { testStore } from '../../../../support/collector/store/store_contract.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

describe('the store in PostgreSQL', { skip: NO_POSTGRES }, () => {
  let server: PostgresServer;
  let opened: PostgresStore[] = [];
  before(async () => {
    server = await PostgresServer.start();
  });
  afterEach(async () => {
    for (const store of opened) await store.close();
    opened = [];
  });
  after(() => server?.close());

  testStore(async () => {
    const store = await PostgresStore.open(parseDatabaseUrl(await server.createDatabase()));
    opened.push(store);
    return store;
  });
});
