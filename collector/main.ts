/** The collector: composition only. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { AGENT_PATH } from '../protocol/frames.ts';
import { OperatorError } from '../protocol/operator_error.ts';
import type { StageCounters } from '../protocol/records.ts';
import { type CollectorSettings, readAgentToken } from './config.ts';
import { IngestServer } from './ingest/server.ts';
import { Writer } from './ingest/writer.ts';
import { openStore } from './store/sqlite/sqlite_store.ts';

/** Sockets beyond the agents': for those that are just being refused. */
const SPARE_SOCKETS = 64;
const HEADERS_TIMEOUT_MS = 10_000;

export interface Collector {
  /** As bound: with the port that was taken where port 0 was asked for. */
  address: { host: string; port: number; url: string };
  counters(): StageCounters;
  /** Orderly end: what was received is stored, then the store is closed. */
  stop(): Promise<void>;
}

/** Starts a collector. Throws `OperatorError` (token, address or store). */
export async function startCollector(settings: CollectorSettings, log: Logger): Promise<Collector> {
  const token = readAgentToken(settings);
  const colon = settings.listen.lastIndexOf(':');
  const host = settings.listen.slice(0, colon).replace(/^\[|\]$/g, '');
  const store = openStore(settings.data_dir);
  const writer = new Writer(store, log);
  const ingest = new IngestServer({
    identify: (request) => (showsToken(request, token) ? { hostId: null, via: 'enrolment' } : null),
    issueCredential: null,
    hasCredential: () => false,
    maxConnections: settings.max_connections,
    idleMs: settings.idle_seconds * 1000,
    store,
    writer,
    log,
  });
  const server = createServer({ headersTimeout: HEADERS_TIMEOUT_MS }, (_request, response) => {
    response.writeHead(404, { connection: 'close' }).end();
  });
  server.maxConnections = settings.max_connections + SPARE_SOCKETS;
  server.on('upgrade', (request, socket, head) => {
    if (request.url?.split('?', 1)[0] === AGENT_PATH) ingest.onUpgrade(request, socket, head);
    else
      socket.on('error', () => socket.destroy()).end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
  });
  const wanted = Number(settings.listen.slice(colon + 1));
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port: wanted }, resolve);
    });
  } catch (error) {
    await ingest.close();
    await store.close();
    const { code, message } = error as NodeJS.ErrnoException;
    const remedy =
      code === 'EADDRINUSE'
        ? 'Another program has it; set another listen address.'
        : 'Set another listen address.';
    throw new OperatorError(
      code === 'EACCES' ? 3 : 1,
      `The collector cannot listen on ${host}, port ${wanted}: ${message}. ${remedy}`,
      { cause: error },
    );
  }
  const { port } = server.address() as AddressInfo;
  const url = `ws://${host.includes(':') ? `[${host}]` : host}:${port}`;
  log.info({ listen: url, store: settings.data_dir }, 'the collector listens');
  let stopped: Promise<void> | null = null;
  const stop = async () => {
    const closed = new Promise((resolve) => {
      server.close(resolve);
    });
    await ingest.close();
    server.closeAllConnections();
    await closed;
    await writer.settled();
    await store.close();
    log.info('the collector has stopped');
  };
  return {
    address: { host, port, url },
    counters: () => ({ ingest: ingest.counters(), writer: writer.counters() }),
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

/** Compares digests of equal length in constant time, so that neither content nor length of the token shows. */
function showsToken({ headers }: IncomingMessage, token: string): boolean {
  const match = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '');
  return timingSafeEqual(digest(match?.[1] ?? ''), digest(token)) && match !== null;
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
