/** Provides the tests of doctor's checks with settings in a temporary directory and with a fake collector. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocketServer } from 'ws';
import { type AgentSettings, agentSettings } from '../../../../agent/config.ts';
import type { AgentSide, Finding, RunningAgent } from '../../../../cli/doctor/check.ts';
import { type CollectorSettings, collectorSettings } from '../../../../collector/config.ts';
import { VERSION } from '../../../../common/version.ts';

export class Places {
  readonly #endings: (() => unknown)[] = [];

  directory(): string {
    const path = mkdtempSync(join(tmpdir(), 'imdswatch-doctor-'));
    this.#endings.push(() => rmSync(path, { recursive: true, force: true }));
    return path;
  }

  later(ending: () => unknown): void {
    this.#endings.push(ending);
  }

  async end(): Promise<void> {
    for (const ending of this.#endings.splice(0).reverse()) await ending();
  }

  agent(settings: Partial<AgentSettings> = {}, running: Partial<RunningAgent> = {}): AgentSide {
    const spool = join(this.directory(), 'spool');
    mkdirSync(spool);
    return {
      settings: agentSettings.parse({ spool_dir: spool, host_id: 'i-0123456789abcdef0', ...settings }),
      configuration: { file: null, problem: null },
      running: { pid: null, isRunning: false, state: null, ...running },
      capabilities: 0n,
    };
  }

  collector(settings: Partial<CollectorSettings> = {}) {
    return {
      settings: collectorSettings.parse({ data_dir: this.directory(), ...settings }),
      configuration: { file: null, problem: null },
    };
  }

  /** Returns its address without the scheme. */
  async fakeCollector(answers: {
    /** Status of the health endpoint; `hang` means that it never answers. */
    health?: number | 'hang';
    /** Status of the agents' endpoint; 101 accepts the agent. */
    agentStatus?: number;
    /** A bearer secret that the agents' endpoint rejects with 401. */
    rejectedSecret?: string;
    /** Milliseconds that its clock is ahead of ours. */
    aheadMs?: number;
    tls?: { cert: string; key: string };
  }): Promise<string> {
    const { health = 200, aheadMs = 0, tls, rejectedSecret } = answers;
    const server: Server = tls === undefined ? createHttpServer() : createHttpsServer(tls);
    const webSockets = new WebSocketServer({ noServer: true });
    server.on('request', (_request, response) => {
      if (health === 'hang') return;
      response.setHeader('Date', new Date(Date.now() + aheadMs).toUTCString());
      response.statusCode = health;
      response.end();
    });
    server.on('upgrade', (request, socket, head) => {
      const isRejected =
        rejectedSecret !== undefined && request.headers.authorization === `Bearer ${rejectedSecret}`;
      const agentStatus = isRejected ? 401 : (answers.agentStatus ?? 101);
      if (agentStatus === 101)
        webSockets.handleUpgrade(request, socket, head, (each) => each.on('error', () => {}));
      else socket.end(`HTTP/1.1 ${agentStatus} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.later(() => {
      for (const each of webSockets.clients) each.terminate();
      server.closeAllConnections();
      server.close();
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
}

/** Returns one line for each finding: `fail: text`. */
export function textsOf(findings: readonly Finding[]): string[] {
  return findings.map(({ status, text }) => `${status}: ${text}`);
}

export function heartbeat(secondsAgo: number, counters: Record<string, Record<string, number>> = {}) {
  const time = new Date(Date.now() - secondsAgo * 1_000).toISOString();
  return {
    time,
    host_id: 'i-0123456789abcdef0',
    agent_version: VERSION,
    started: time,
    counters,
    coverage: { live: true, sources: ['any'] },
    attribution: { method: 'ebpf' as const, reason: null },
    agent: { cpu_percent: 0, memory_bytes: 1 },
    spool: { bytes: 0, records: 0, overflowed: {} },
  };
}
