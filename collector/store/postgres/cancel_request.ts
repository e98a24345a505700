/**
 * Asks a server to give up the statement of a connection whose answer nobody waits for any more. Without it a commit that
 * waits for standbys would hold its locks and its place among the server's connections until a standby is back, and each
 * new attempt would add another one.
 *
 * A commit whose wait is given up is visible and perhaps on no standby. Nobody was told that it is stored: who sends its
 * records again gets the answer from a later commit, which waits for the standbys too.
 */
import { connect } from 'node:net';
import type { ClientBase } from 'pg';

/** CancelRequest: PostgreSQL 15 documentation, 55.2.8 and 55.7. */
const CODE = 80877102;
const BYTES = 16;

/** `host`: a name, an address, or the directory of a Unix socket. Resolves when the server has read it, or cannot be reached in time. */
export function requestCancel(
  { host, port }: { host: string; port: number },
  client: ClientBase,
  withinMs: number,
): Promise<void> {
  // The types of the package do not have these fields.
  const { processID, secretKey } = client as unknown as {
    processID: number | null;
    secretKey: number | null;
  };
  if (processID === null || secretKey === null) return Promise.resolve();
  const request = Buffer.alloc(BYTES);
  request.writeInt32BE(BYTES, 0);
  request.writeInt32BE(CODE, 4);
  request.writeInt32BE(processID, 8);
  request.writeInt32BE(secretKey, 12);
  const socket = connect(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port });
  socket.setTimeout(withinMs, () => socket.destroy());
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
    socket.once('error', () => socket.destroy());
    // The server answers by closing the connection.
    socket.end(request);
    socket.resume();
  });
}
