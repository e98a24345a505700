import type { Storage as StorageAnswer } from '../../contract/storage.ts';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { jsonAnswer, route } from '../route.ts';
import { Storage } from '../schemas.ts';

const storageRoute = route({
  method: 'get',
  path: '/api/v1/storage',
  tags: ['administration'],
  summary: 'What an acknowledgement is worth in the store of the collector',
  description:
    'A viewer with a scope gets neither names of servers nor errors of the database: `reader` is null for it, `text` says only how safe a batch is, and `problem` only that records wait.',
  responses: { 200: jsonAnswer(Storage, 'The kind of the store, and how many machines have a batch.') },
});

export function storageRoutes(app: ApiApp, { storage }: ApiParts): void {
  app.openapi(storageRoute, async (c) => {
    const found = await storage();
    return c.json(c.get('principal')!.scope === null ? found : ofScope(found), 200);
  });
}

/** Leaves out what names servers: places of standbys, and errors of connections. */
function ofScope({ kind, copies, survives_loss_of_machine, problem, clock }: StorageAnswer): StorageAnswer {
  return {
    kind,
    copies,
    survives_loss_of_machine,
    text: `An acknowledged batch is ${survives_loss_of_machine ? 'safe from' : 'lost with'} the loss of one machine.`,
    problem:
      problem === null
        ? null
        : 'The collector could not store the last records; agents keep theirs. Ask an admin for the reason.',
    clock,
    reader: null,
  };
}
