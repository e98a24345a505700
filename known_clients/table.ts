/** All clients. Where a user agent names several, the one that stands first here says most. */
import { AWS_SDKS } from './aws_sdks.ts';
import type { Client } from './client.ts';
import { COMPILED_SDKS } from './compiled_sdks.ts';
import { TOOLS } from './tools.ts';

export const CLIENTS: readonly Client[] = [...TOOLS, ...AWS_SDKS, ...COMPILED_SDKS];

const BY_ID = new Map(CLIENTS.map((client) => [client.id, client]));

/** Throws an `Error` for an unknown id. Ids are written only in this room and in tests. */
export function clientOf(id: string): Client {
  const client = BY_ID.get(id);
  if (client === undefined) throw new Error(`no client ${id}`);
  return client;
}
