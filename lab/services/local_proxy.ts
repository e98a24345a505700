/**
 * A proxy on the host that pods' metadata requests are redirected to, as kube2iam and its like do: it asks the metadata
 * service itself and passes the answer on. Listens on the host of the lab.
 *
 * Prints `{"listening": PORT}`, then one JSON line an onward call with its own socket's port and whose request it was.
 */
import { createServer, request } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

const METADATA_SERVICE = '169.254.169.254';
const TIMEOUT_MS = 5000;

const server = createServer((asked, response) => {
  const { method = 'GET', url: target = '/', headers, socket } = asked;
  const caller = { address: socket.remoteAddress, port: socket.remotePort };
  const onward = request(
    { host: METADATA_SERVICE, method, path: target, headers, agent: false, timeout: TIMEOUT_MS },
    (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    },
  );
  onward.on('socket', (own: Socket) =>
    own.once('connect', () => say({ port: own.localPort, method, target, caller })),
  );
  onward.on('timeout', () => onward.destroy(new Error('no answer')));
  onward.on('error', () => {
    if (!response.headersSent) response.writeHead(502);
    response.end();
  });
  asked.pipe(onward);
});

function say(fact: object): void {
  process.stdout.write(`${JSON.stringify(fact)}\n`);
}

server.listen(0, '0.0.0.0', () => say({ listening: (server.address() as AddressInfo).port }));
