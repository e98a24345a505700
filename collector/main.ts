/** The collector: composition only. */
import type { Logger } from 'pino';
import type { StageCounters } from '../protocol/records.ts';
import { type CollectorSettings, readAgentToken } from './config.ts';
import { IngestServer } from './ingest/server.ts';
import { Writer } from './ingest/writer.ts';
import { openStore } from './store/sqlite/sqlite_store.ts';

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
  const server = new IngestServer({
    address: host,
    port: Number(settings.listen.slice(colon + 1)),
    token,
    maxConnections: settings.max_connections,
    idleMs: settings.idle_seconds * 1000,
    store,
    writer,
    log,
  });
  let port: number;
  try {
    port = await server.listen();
  } catch (error) {
    await store.close();
    throw error;
  }
  const url = `ws://${host.includes(':') ? `[${host}]` : host}:${port}`;
  log.info({ listen: url, store: settings.data_dir }, 'the collector listens');
  let stopped: Promise<void> | null = null;
  const stop = async () => {
    await server.close();
    await writer.settled();
    await store.close();
    log.info('the collector has stopped');
  };
  return {
    address: { host, port, url },
    counters: () => ({ ingest: server.counters(), writer: writer.counters() }),
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}
