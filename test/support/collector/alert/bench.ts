/** An `Alerts` on a database of its own, with findings and a clock that the test sets. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { Lease } from '../../../../collector/admin/lease.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { ALERTS_LEASE_MS, Alerts } from '../../../../collector/alert/alerts.ts';
import type { SendOptions } from '../../../../collector/alert/send.ts';
import type { Alert } from '../../../../collector/contract/alert.ts';
import type { Group } from '../../../../collector/contract/group.ts';
import type { Host } from '../../../../collector/contract/host.ts';
import type { Offender } from '../../../../collector/contract/offender.ts';
import { NO_OWNERS, type Owners } from '../../../../collector/insight/owners.ts';
import type { EndedTriage } from '../../../../collector/insight/triage_reader.ts';
import type { HostCoverage } from '../../../../collector/store/store.ts';
import { NOON_US } from './findings.ts';
import { glancesOf } from './rules.ts';

export class Bench {
  readonly directory = mkdtempSync(join(tmpdir(), 'imdswatch-alerts-'));
  readonly logged: string[] = [];
  offenders: Offender[] = [];
  endedTriage: EndedTriage[] = [];
  hosts: Host[] = [];
  groups: Group[] = [];
  coverage: HostCoverage[] = [];
  owners: Owners = NO_OWNERS;
  nowMs = NOON_US / 1000;
  alerts!: Alerts;
  #database!: DatabaseSync;
  readonly #sending: SendOptions;

  constructor(sending: SendOptions = {}) {
    this.#sending = sending;
    this.open();
  }

  /** Opens it again after `close`, like a restart. */
  open(): void {
    this.#database = openAdmin(this.directory);
    const log = pino(
      { level: 'trace' },
      new Writable({
        write: (line, _encoding, done) => {
          this.logged.push(String(line));
          done();
        },
      }),
    );
    const admin = new SqliteAdminStore(this.#database);
    this.alerts = new Alerts({
      owners: () => this.owners,
      admin,
      lease: new Lease(admin, 'alerts', { durationMs: ALERTS_LEASE_MS }),
      insight: {
        offenders: async () => this.offenders,
        glances: () => glancesOf(this.hosts, this.coverage),
        describeHosts: async (wanted) => {
          const ids = new Set(wanted.map(({ id }) => id));
          return this.hosts.filter(({ id }) => ids.has(id));
        },
        groups: async () => this.groups,
        endedTriage: async () => this.endedTriage,
      },
      store: { coverage: async () => this.coverage, hosts: async () => [] },
      publicUrl: 'https://imdswatch.example.com/',
      log,
      now: () => this.nowMs,
      sending: this.#sending,
    });
  }

  async close(): Promise<void> {
    await this.alerts.stop();
    this.#database.close();
  }

  async remove(): Promise<void> {
    await this.close();
    rmSync(this.directory, { recursive: true });
  }

  /** Lets the time pass after which hosts are judged, too. */
  settle(): void {
    this.pass(6 * 60);
  }

  pass(seconds: number): void {
    this.nowMs += seconds * 1000;
  }

  /** Returns all alerts, oldest first. */
  async told(): Promise<Alert[]> {
    return (await this.alerts.recentAlerts(1000)).reverse();
  }

  rows(sql: string): unknown[] {
    return this.#database.prepare(sql).all();
  }
}

export const ALL_RULES = [
  'new_offender',
  'credentials_over_v1',
  'host_not_ready',
  'host_silent',
  'coverage_lost',
] as const;
