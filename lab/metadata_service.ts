/**
 * Runs the lab's instance metadata service, as a program of its own and only inside a lab's namespace.
 *
 * It uses Node's HTTP parser and not ours, because our reports are compared with its log. It behaves as the
 * EC2 user guide says ("Use the Instance Metadata Service to access instance metadata"). It exchanges the
 * messages of ground_truth.ts with the lab over Node's IPC channel, and ends when that closes.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { IMDS_IPV4, IMDS_IPV6, IMDS_PORT, TOKEN_HEADER, TOKEN_TTL_HEADER } from '../protocol/endpoints.ts';
import {
  type Behaviour,
  type FromService,
  NORMAL_BEHAVIOUR,
  type SeenRequest,
  type ToService,
} from './ground_truth.ts';
import { setHopLimit } from './hop_limit.ts';
import { bodyFor } from './metadata_tree.ts';
import { resetConnection } from './reset_connection.ts';

const MAX_TOKEN_TTL_S = 21_600;
const NORMAL_HOP_LIMIT = 64;
/** The longest head that is read. Node's own limit is 16 KiB. */
const MAX_HEAD_BYTES = 131_072;
/** Name of the header on the wire, in the case that the real service uses. */
const TTL_HEADER_ON_WIRE = 'X-Aws-Ec2-Metadata-Token-Ttl-Seconds';

let behaviour: Behaviour = { ...NORMAL_BEHAVIOUR };
let seenCount = 0;
let pending = 0;
let connectionCount = 0;
const connectionNumbers = new WeakMap<Socket, number>();
const tokens: { token: Buffer; expiresMs: number }[] = [];

function tell(message: FromService): void {
  process.send?.(message);
}

/** Returns the seconds for which a token is still valid; null if it is unknown or expired. */
function remainingSeconds(presented: string): number | null {
  const given = Buffer.from(presented);
  const known = tokens.find(({ token }) => token.length === given.length && timingSafeEqual(token, given));
  if (known === undefined || known.expiresMs <= Date.now()) return null;
  return Math.ceil((known.expiresMs - Date.now()) / 1000);
}

function decodedPath(target: string): string {
  // An absolute-form target (RFC 9112 section 3.2.2) names the same resource as its path.
  const path = target.replace(/^[a-z]+:\/\/[^/?#]*/i, '').replace(/[?#].*$/s, '');
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

interface Answer {
  status: number;
  body: string;
  ttlSeconds: number | null;
}

const refusal = (status: number, ttlSeconds: number | null = null): Answer => ({
  status,
  body: `<?xml version="1.0" encoding="iso-8859-1"?>\n<html><head><title>${status}</title></head><body><h1>${status}</h1></body></html>\n`,
  ttlSeconds,
});

function answerToken(request: IncomingMessage, path: string): Answer {
  if (request.headers['x-forwarded-for'] !== undefined) return refusal(403);
  if (path !== '/latest/api/token') return refusal(403);
  const asked = request.headers[TOKEN_TTL_HEADER];
  const ttl = typeof asked === 'string' && /^\d{1,5}$/.test(asked) ? Number(asked) : 0;
  if (ttl < 1 || ttl > MAX_TOKEN_TTL_S) return refusal(400);
  if (typeof behaviour.tokenAnswer === 'number') return refusal(behaviour.tokenAnswer);
  // Real tokens begin like this, so a search for leaked tokens finds ours too.
  const token = `AQAE${randomBytes(39).toString('base64url')}`;
  tokens.push({ token: Buffer.from(token), expiresMs: Date.now() + ttl * 1000 });
  return { status: 200, body: token, ttlSeconds: ttl };
}

function answerFor(request: IncomingMessage, path: string, isTokenRequest: boolean): Answer {
  if (behaviour.answer === 'throttle') return refusal(503);
  if (behaviour.httpEndpoint === 'disabled') return refusal(403);
  if (isTokenRequest) return answerToken(request, path);
  if (request.method !== 'GET' && request.method !== 'HEAD') return refusal(405);
  const presented = request.headers[TOKEN_HEADER];
  let ttlSeconds: number | null = null;
  if (presented === undefined) {
    if (behaviour.httpTokens === 'required') return refusal(401);
  } else {
    ttlSeconds = remainingSeconds(String(presented));
    if (ttlSeconds === null) return refusal(401);
  }
  if (/\/api\/token\/?$/.test(path)) return refusal(405, ttlSeconds);
  const body = bodyFor(path, behaviour.instanceTags === 'enabled');
  return body === null ? refusal(404, ttlSeconds) : { status: 200, body, ttlSeconds };
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  response.statusCode = answer.status;
  response.sendDate = true;
  response.setHeader('Server', 'EC2ws');
  response.setHeader('Content-Type', answer.status === 200 ? 'text/plain' : 'text/html');
  if (answer.status === 405) response.setHeader('Allow', 'GET, HEAD, PUT');
  if (answer.ttlSeconds !== null) response.setHeader(TTL_HEADER_ON_WIRE, String(answer.ttlSeconds));
  if (behaviour.connection === 'close' || behaviour.framing === 'until-close')
    response.setHeader('Connection', 'close');
  if (behaviour.framing === 'length') response.setHeader('Content-Length', Buffer.byteLength(answer.body));
  response.useChunkedEncodingByDefault = behaviour.framing === 'chunked' && request.httpVersion === '1.1';
  if (behaviour.framing === 'chunked') {
    const half = answer.body.length >> 1;
    // Two writes make two chunks. An empty chunk would end the body.
    if (half > 0) response.write(answer.body.slice(0, half));
    response.end(answer.body.slice(half));
  } else {
    response.end(answer.body);
  }
}

function seenFrom(socket: Socket): SeenRequest {
  return {
    seq: ++seenCount,
    time: new Date().toISOString(),
    connection: connectionNumbers.get(socket) ?? 0,
    clientAddress: socket.remoteAddress ?? '',
    clientPort: socket.remotePort ?? 0,
    serverAddress: socket.localAddress ?? '',
    method: null,
    target: null,
    version: null,
    status: null,
    ttlHeaderSent: false,
  };
}

function handle(request: IncomingMessage, response: ServerResponse): void {
  const socket = request.socket;
  const path = decodedPath(request.url ?? '');
  const isTokenRequest = request.method === 'PUT' && /\/api\/token$/.test(path);
  const seen = seenFrom(socket);
  seen.method = request.method ?? null;
  seen.target = request.url ?? null;
  seen.version = isTokenRequest || request.headers[TOKEN_HEADER] !== undefined ? 2 : 1;
  request.resume();

  if (behaviour.answer === 'hang' || (isTokenRequest && behaviour.tokenAnswer === 'hang')) {
    tell({ type: 'seen', request: seen });
    return;
  }
  if (behaviour.answer === 'reset') {
    tell({ type: 'seen', request: seen });
    resetConnection(socket);
    return;
  }
  pending++;
  let reported = false;
  const report = (answered: boolean) => {
    if (reported) return;
    reported = true;
    pending--;
    if (answered) {
      seen.status = response.statusCode;
      seen.ttlHeaderSent = response.hasHeader(TTL_HEADER_ON_WIRE);
    }
    tell({ type: 'seen', request: seen });
  };
  response.once('finish', () => report(true));
  response.once('close', () => report(false));
  const reply = () => {
    if (socket.destroyed) return report(false);
    const hopLimit = isTokenRequest ? behaviour.putResponseHopLimit : NORMAL_HOP_LIMIT;
    setHopLimit(socket, hopLimit);
    send(request, response, answerFor(request, path, isTokenRequest));
  };
  if (behaviour.delayMs > 0) setTimeout(reply, behaviour.delayMs);
  else reply();
}

function listen(address: string): Promise<void> {
  // The real service accepts HTTP/1.0 without a Host header.
  const options = { requireHostHeader: false, keepAliveTimeout: 30_000, maxHeaderSize: MAX_HEAD_BYTES };
  const server = createServer(options, handle);
  server.on('connection', (socket) => {
    connectionNumbers.set(socket, ++connectionCount);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (!error.code?.startsWith('HPE_') && error.code !== 'ERR_HTTP_REQUEST_TIMEOUT') {
      // The client gave up the connection; this is no bad request.
      socket.destroy();
      return;
    }
    const seen = seenFrom(socket as Socket);
    if (socket.writable) {
      seen.status = 400;
      socket.end(
        'HTTP/1.1 400 Bad Request\r\nServer: EC2ws\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
      );
    }
    tell({ type: 'seen', request: seen });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port: IMDS_PORT, backlog: 1024 }, () => {
      const bound = server.address() as AddressInfo;
      if (bound.address !== address) reject(new Error(`bound to ${bound.address}, not to ${address}`));
      else resolve();
    });
  });
}

async function main(): Promise<void> {
  if (process.send === undefined) throw new Error('this program is started by lab.ts, over an IPC channel');
  process.on('disconnect', () => process.exit(0));
  // Ctrl-C of the terminal is for the lab, which then ends this process.
  process.on('SIGINT', () => {});
  process.on('message', (message: ToService) => {
    if (message.type === 'set') behaviour = { ...behaviour, ...message.change };
    tell({ type: 'done', id: message.id, pending, connections: connectionCount });
  });
  await listen(IMDS_IPV4);
  if (process.argv.includes('--ipv6')) await listen(IMDS_IPV6);
  tell({ type: 'ready' });
}

await main();
