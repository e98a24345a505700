/**
 * A web app with a classic vulnerability: `/fetch?url=…` fetches any URL, also of the metadata service
 * (server-side request forgery, CWE-918). It listens on the loopback of the lab's host only.
 *
 * Prints `{"listening": PORT}`, then one JSON line for each fetch with the port of its own socket, for the
 * lab's ledger.
 */
import { createServer, get } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

const FETCH_TIMEOUT_MS = 5000;

const server = createServer((request, response) => {
  const wanted = new URL(request.url ?? '/', 'http://localhost').searchParams.get('url');
  if (wanted === null) {
    response.writeHead(404).end('ask for /fetch?url=…\n');
    return;
  }
  const refuse = (error: Error) => {
    if (!response.headersSent) response.writeHead(502);
    response.end(`${error.message}\n`);
  };
  let url: URL;
  try {
    url = new URL(wanted);
  } catch (error) {
    return refuse(error as Error);
  }
  const fetched = get(url, { agent: false, timeout: FETCH_TIMEOUT_MS }, (answer) => {
    response.writeHead(answer.statusCode ?? 502);
    answer.pipe(response);
  });
  fetched.on('socket', (socket: Socket) =>
    socket.once('connect', () =>
      say({ port: socket.localPort, method: 'GET', target: url.pathname + url.search }),
    ),
  );
  fetched.on('timeout', () => fetched.destroy(new Error('no answer')));
  fetched.on('error', refuse);
});

function say(fact: object): void {
  process.stdout.write(`${JSON.stringify(fact)}\n`);
}

server.listen(0, '127.0.0.1', () => say({ listening: (server.address() as AddressInfo).port }));
