/**
 * A proxy on the host of the lab, like kube2iam. Metadata requests of pods are redirected to it; it sends
 * them to the metadata service itself and returns the answer.
 *
 * Prints `{"listening": PORT}`, then one JSON line for each forwarded call, with the port of its own socket
 * and the address of its client.
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
