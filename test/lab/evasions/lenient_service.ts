/**
 * A metadata service that answers whatever it can make sense of: the ground truth of the evasions.
 *
 * The lab's own service refuses odd requests with 400. A service that is less strict answers them, and then an observer
 * that reads them differently misses an IMDSv1 call. This one is lenient about everything but the token: only a
 * well-formed header line of exactly that name counts, so that an odd request is IMDSv1 whenever one could say so.
 *
 * A path chooses the answer: `/s404/`, `/s401/` and `/s500/` a status, `/slow/` an answer after one second,
 * `/ignores-bodies/` a service that takes every body for the next request.
 */
import { createServer, type Socket } from 'node:net';
import type { FromService, SeenRequest, ToService } from '../../../lab/ground_truth.ts';
import { IMDS_IPV4, IMDS_IPV6, IMDS_PORT } from '../../../protocol/endpoints.ts';

const SLOW_MS = 1_000;
const MAX_HEAD_BYTES = 4_194_304;
const HEAD_END = /\r?\n\r?\n/;
const TOKEN_LINE = /^x-aws-ec2-metadata-token:/i;
const TOKEN = 'AQAEAGV2YXNpb25zLWFyZS1hbnN3ZXJlZC1ieS1hLWxhYg==';

let seenCount = 0;
let pending = 0;
let connectionCount = 0;

interface Request {
  method: string;
  target: string;
  hasToken: boolean;
  bodyBytes: number;
  closes: boolean;
}

function send(message: FromService): void {
  process.send?.(message);
}

/** Returns the request that a head is, or null when it has not even a method and a target. */
function parse(head: string): Request | null {
  const [start = '', ...lines] = head.split(/\r?\n/);
  const [method, target, version] = start.split(' ').filter((part) => part !== '');
  if (method === undefined || target === undefined) return null;
  const header = (name: string) =>
    lines
      .findLast((line) => line.toLowerCase().startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim();
  const ignoresBodies = target.includes('/ignores-bodies/');
  return {
    method,
    target,
    hasToken: lines.some((line) => TOKEN_LINE.test(line)),
    bodyBytes: ignoresBodies ? 0 : Number(header('content-length') ?? 0) || 0,
    closes:
      version === undefined || version === 'HTTP/1.0' || header('connection')?.toLowerCase() === 'close',
  };
}

function isTokenRequest({ method, target }: Request): boolean {
  return method === 'PUT' && target.endsWith('/latest/api/token');
}

function statusOf({ method, target }: Request): number {
  const chosen = /\/s(\d{3})\//.exec(target)?.[1];
  if (chosen !== undefined) return Number(chosen);
  if (method === 'PUT') return target.endsWith('/latest/api/token') ? 200 : 403;
  return method === 'GET' || method === 'HEAD' ? 200 : 405;
}

function answer(socket: Socket, request: Request, status: number): boolean {
  const isToken = isTokenRequest(request) && status === 200;
  const isJudged = status === 200 && (isToken || request.hasToken);
  const body = isToken ? TOKEN : status === 200 ? 'an answer' : '';
  const head = [
    `HTTP/1.1 ${status} Answer`,
    'Server: EC2ws',
    'Content-Type: text/plain',
    ...(isJudged ? ['X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600'] : []),
    `Content-Length: ${body.length}`,
    `Connection: ${request.closes ? 'close' : 'keep-alive'}`,
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n${request.method === 'HEAD' ? '' : body}`);
  return isJudged;
}

function serve(socket: Socket): void {
  const connection = ++connectionCount;
  const where = {
    connection,
    clientAddress: socket.remoteAddress ?? '',
    clientPort: socket.remotePort ?? 0,
    serverAddress: socket.localAddress ?? '',
  };
  let buffered = '';
  let skip = 0;
  let queue = Promise.resolve();
  let isOver = false;

  const handle = async (request: Request) => {
    if (request.target.includes('/slow/')) await new Promise((resolve) => setTimeout(resolve, SLOW_MS));
    const status = statusOf(request);
    const ttlHeaderSent = answer(socket, request, status);
    const seen: SeenRequest = {
      seq: ++seenCount,
      time: new Date().toISOString(),
      ...where,
      method: request.method,
      target: request.target,
      version: isTokenRequest(request) || request.hasToken ? 2 : 1,
      status,
      ttlHeaderSent,
    };
    send({ type: 'seen', request: seen });
    if (request.closes) socket.end();
    pending--;
  };

  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    if (isOver) return;
    buffered += chunk;
    if (buffered.length > MAX_HEAD_BYTES) socket.destroy();
    for (;;) {
      const skipped = Math.min(skip, buffered.length);
      buffered = buffered.slice(skipped).replace(/^[\r\n]+/, '');
      skip -= skipped;
      const end = HEAD_END.exec(buffered);
      if (skip > 0 || end === null) return;
      const request = parse(buffered.slice(0, end.index));
      buffered = buffered.slice(end.index + end[0].length);
      if (request === null) continue;
      skip = request.bodyBytes;
      pending++;
      queue = queue.then(() => handle(request));
      isOver = request.closes;
      if (isOver) return;
    }
  });
  socket.on('end', () => void queue.then(() => socket.end()));
  socket.on('error', () => socket.destroy());
}

function listen(address: string): Promise<void> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, serve);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port: IMDS_PORT, backlog: 4_096 }, () => resolve());
  });
}

process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => {});
process.on('message', ({ id }: ToService) => {
  send({ type: 'done', id, pending, connections: connectionCount });
});
await listen(IMDS_IPV4);
if (process.argv.includes('--ipv6')) await listen(IMDS_IPV6);
send({ type: 'ready' });
