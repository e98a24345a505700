/**
 * Tests that the API and the commands give the same answers on the embedded store and on PostgreSQL over the same data,
 * byte for byte. `NOT_ASKED` of api_questions.ts lists what may differ, with the reasons.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { answersOfApi, NOT_ASKED } from '../../../support/collector/both/api_questions.ts';
import { BothStores } from '../../../support/collector/both/both_stores.ts';
import { answersOfCommands } from '../../../support/collector/both/command_questions.ts';
import { differences } from '../../../support/collector/both/differences.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { NO_POSTGRES, PostgresServer } from '../../../support/postgres.ts';

/** The fewest questions that a whole round has, so that a round which asks nothing fails. */
const FEWEST = { api: 200, commands: 25 };

describe('the same data in both stores', { skip: NO_POSTGRES }, () => {
  const bench = new Bench();
  let server: PostgresServer;
  let answers: Record<'api' | 'commands', { embedded: Map<string, string>; shared: Map<string, string> }>;
  before(async () => {
    server = await PostgresServer.start();
    const stores = await BothStores.open(bench, server);
    const { embedded, shared } = await stores.ask(async (side) => ({
      api: await answersOfApi(side.collector.pageUrl),
      commands: await answersOfCommands(side),
    }));
    answers = {
      api: { embedded: embedded.api, shared: shared.api },
      commands: { embedded: embedded.commands, shared: shared.commands },
    };
  });
  after(async () => {
    await bench.end();
    await server?.close();
  });

  for (const kind of ['api', 'commands'] as const) {
    test(`the answers of the ${kind === 'api' ? 'API' : 'commands'} are the same`, (t) => {
      const { embedded, shared } = answers[kind];
      t.diagnostic(`${embedded.size} questions, ${[...embedded.values()].join('').length} characters`);
      assert.ok(embedded.size >= FEWEST[kind], `${embedded.size} questions`);
      assert.deepEqual(differences(embedded, shared), []);
    });
  }

  test('every route that is left out exists', () => {
    const { paths } = JSON.parse(answers.api.embedded.get('/api/v1/openapi.json')!.split('\n')[1]!);
    assert.deepEqual(
      Object.keys(NOT_ASKED).filter((route) => !(route in paths)),
      [],
    );
  });
});
