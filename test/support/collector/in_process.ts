/** Agent and collector in the process of the test, which can read their counters. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import type { TlsFiles } from '../../../agent/outbox/collector_tls.ts';
import { Outbox, type OutboxOptions, toCollector } from '../../../agent/outbox/outbox.ts';
import type { Collector } from '../../../collector/main.ts';
import { agentState, HOST } from './calls.ts';
import { type TestIngestOptions, TestIngestServer } from './ingest_server.ts';
import { TOKEN } from './processes.ts';

/** Opens what a test needs, and closes it with `end` in the opposite order. */
export class Bench {
  readonly #endings: (() => unknown)[] = [];
  /** Every line that agents and collectors logged. */
  readonly logged: ({ level: number; msg: string } & Record<string, unknown>)[] = [];
  readonly log: Logger = pino(
    { level: 'debug' },
    { write: (line: string) => this.logged.push(JSON.parse(line)) },
  );

  atEnd(ending: () => unknown): void {
    this.#endings.push(ending);
  }

  async end(): Promise<void> {
    for (const ending of this.#endings.splice(0).reverse()) await ending();
    this.logged.length = 0;
  }

  directory(): string {
    const directory = mkdtempSync(join(tmpdir(), 'imdswatch-test-'));
    this.atEnd(() => rmSync(directory, { recursive: true, force: true }));
    return directory;
  }

  async collector(settings: Record<string, unknown> = {}): Promise<Collector> {
    // Only here: tests of delivery alone have a store of their own.
    const { collectorSettings } = await import('../../../collector/config.ts');
    const { startCollector } = await import('../../../collector/main.ts');
    const parsed = collectorSettings.parse({
      listen: '127.0.0.1:0',
      agent_token: TOKEN,
      data_dir: settings['data_dir'] ?? this.directory(),
      ...settings,
    });
    const collector = await startCollector(parsed, this.log);
    this.atEnd(() => collector.stop());
    return collector;
  }

  /** Starts ingest alone, with a store in memory. */
  async ingestServer(options: TestIngestOptions = {}): Promise<TestIngestServer> {
    const server = await TestIngestServer.open(this.log, options);
    this.atEnd(() => server.close());
    return server;
  }

  outbox(
    url: string,
    changes: Partial<OutboxOptions> & { token?: string | null; heartbeatMs?: number; tls?: TlsFiles } = {},
  ): Outbox {
    const { token = TOKEN, heartbeatMs = 200, tls, ...options } = changes;
    const spoolDir = options.spoolDir ?? this.directory();
    const identity = { host: HOST, agentVersion: '0.0.0-test', log: this.log };
    const outbox = new Outbox({
      ...identity,
      spoolMaxBytes: 64 * 1024 * 1024,
      detail: 'all',
      rollupIntervalMs: 60_000,
      state: agentState,
      sink: toCollector(
        { url, token, heartbeatMs, spoolDir, ...(tls && { tls }) },
        { ...identity, ...options },
      ),
      ...options,
      spoolDir,
    });
    outbox.start();
    this.atEnd(() => outbox.stop(0));
    return outbox;
  }
}

export function acknowledged(outbox: Outbox): number {
  return outbox.counters()['spool']!['acknowledged']!;
}
