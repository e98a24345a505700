/** Three collectors that share a PostgreSQL database, behind HAProxy with the settings that are shipped. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Balancer } from '../../test/support/balancer.ts';
import { Authority } from '../../test/support/collector/access/certificates.ts';
import { DatabaseCluster } from '../collector/database_cluster.ts';
import { processUsage } from '../collector/process_usage.ts';
import { Subject } from '../collector/subject.ts';

export interface StageOptions {
  standbys: number;
  tls: boolean;
  drainSeconds: number;
}

/** Processor time in seconds since the start, and present memory and disk. */
export interface StageUsage {
  collectors: number;
  haproxy: number;
  primary: number;
  standbys: number;
  collectorsBytes: number[];
  haproxyBytes: number;
  primaryBytes: number;
  walBytes: number;
  diskBytes: number;
}

/** Processor time in seconds of each process that runs now. */
export interface Processors {
  collectors: ReadonlyMap<Subject, number>;
  haproxy: ReadonlyMap<number, number>;
}

export const COLLECTORS = 3;
/** Each takes two descriptors, and an unprivileged process may have 20,000 on some machines. */
const CONNECTIONS = 9_500;
const NAME = 'collector';
const NOTICED_MS = 30_000;

interface Certificates {
  authority: Authority;
  certFile: string;
  keyFile: string;
}

export class Stage {
  readonly cluster: DatabaseCluster;
  readonly collectors: Subject[] = [];
  readonly #options: StageOptions;
  readonly #dir: string;
  readonly #certificates: Certificates | null;
  #balancer: Balancer | null = null;

  private constructor(options: StageOptions, dir: string, cluster: DatabaseCluster) {
    this.cluster = cluster;
    this.#options = options;
    this.#dir = dir;
    this.#certificates = options.tls ? newCertificates(dir) : null;
  }

  /** `dir`: for the files of the collectors. The caller deletes it. */
  static async start(options: StageOptions, dir: string): Promise<Stage> {
    const stage = new Stage(options, dir, await DatabaseCluster.start(options.standbys, false));
    try {
      for (let number = 0; number < COLLECTORS; number += 1) {
        stage.collectors.push(await stage.#startCollector());
      }
      stage.#balancer = await Balancer.start({
        collectors: stage.collectors.map(({ url }) => Number(new URL(url).port)),
        connections: CONNECTIONS,
        tls: stage.#balancerFiles(),
      });
      await stage.#balancer.untilReady();
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  get balancer(): Balancer {
    return this.#balancer!;
  }

  /** Address for agents. */
  get url(): string {
    return `${this.#certificates === null ? 'ws' : 'wss'}://127.0.0.1:${this.balancer.port}`;
  }

  /** Certificates that agents trust; null without TLS. */
  get caFile(): string | null {
    return this.#certificates?.authority.certFile ?? null;
  }

  /** Starts a collector again on its port, and waits until HAProxy sends agents there. */
  async startAgain(place: number): Promise<void> {
    const { port } = new URL(this.collectors[place]!.url);
    this.collectors[place] = await this.#startCollector(Number(port));
    const deadline = performance.now() + NOTICED_MS;
    while ((await this.balancer.ready()) < COLLECTORS) {
      if (performance.now() > deadline) throw new Error('HAProxy did not notice the collector');
      await sleep(200);
    }
  }

  async usage(): Promise<StageUsage> {
    const { primarySeconds, standbySeconds, ...database } = await this.cluster.usage();
    const collectors = this.collectors.map((subject) => subject.usage());
    const haproxy = processUsage(this.balancer.processId);
    return {
      ...database,
      collectors: collectors.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
      collectorsBytes: collectors.map(({ residentBytes }) => residentBytes),
      haproxy: haproxy.cpuSeconds,
      haproxyBytes: haproxy.residentBytes,
      primary: primarySeconds,
      standbys: standbySeconds,
    };
  }

  processors(): Processors {
    const running = this.collectors.filter((subject) => subject.isRunning);
    return {
      collectors: new Map(running.map((subject) => [subject, subject.usage().cpuSeconds])),
      haproxy: new Map([[this.balancer.processId, processUsage(this.balancer.processId).cpuSeconds]]),
    };
  }

  async close(): Promise<void> {
    for (const subject of this.collectors) subject.kill();
    await this.#balancer?.kill();
    await this.cluster.close();
  }

  #startCollector(port = 0): Promise<Subject> {
    return Subject.start({
      dataDir: mkdtempSync(join(this.#dir, 'collector-')),
      tls: false,
      store: this.cluster.url,
      port,
      drainSeconds: this.#options.drainSeconds,
      flags: ['--proxy-trusted-addresses', '127.0.0.1'],
      ...(this.#certificates !== null && { certificate: this.#certificates }),
    });
  }

  /** Returns the files of HAProxy, whose certificate and key are in one. */
  #balancerFiles(): { certificate: string; authority: string; name: string } | null {
    if (this.#certificates === null) return null;
    const { authority, certFile, keyFile } = this.#certificates;
    const certificate = join(this.#dir, 'haproxy.pem');
    writeFileSync(certificate, readFileSync(certFile, 'utf8') + readFileSync(keyFile, 'utf8'));
    return { certificate, authority: authority.certFile, name: NAME };
  }
}

function newCertificates(dir: string): Certificates {
  const authority = new Authority(dir);
  const alternatives = `DNS:${NAME},DNS:localhost,IP:127.0.0.1`;
  const pair = authority.issue(NAME, { subject: `/CN=${NAME}`, alternatives, usage: 'serverAuth' });
  return { authority, ...pair };
}
