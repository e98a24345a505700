/** Reads the findings of the collector of a campaign over its HTTP API. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HostDetail } from '../../collector/contract/host.ts';
import { watchedOf } from '../../collector/insight/coverage_gaps.ts';
import { openStoreForReading } from '../../collector/store/sqlite/sqlite_store.ts';
import type { SeenRequest } from '../../lab/ground_truth.ts';
import type { Call } from '../../protocol/call.ts';
import type { AnsweredCall, Span, StoredCall } from './judge.ts';
import type { Stage } from './stage.ts';

const DAY_MS = 86_400_000;
const ANSWER_TIMEOUT_MS = 120_000;

export class Questions {
  readonly #stage: Stage;
  readonly #token: string;
  #answers = 0;

  private constructor(stage: Stage, token: string) {
    this.#stage = stage;
    this.#token = token;
  }

  static async open(stage: Stage): Promise<Questions> {
    const argv = ['token', 'create', '--kind', 'person', '--role', 'viewer', '--name', 'campaign'];
    return new Questions(stage, await stage.command(...argv, '--data-dir', stage.dataDir));
  }

  async #ask(path: string): Promise<string> {
    const file = join(this.#stage.lab.home, `answer-${this.#answers++}`);
    const header = `authorization: Bearer ${this.#token}`;
    const { status, stdout } = await this.#stage.lab.run(
      ['curl', '-s', '-o', file, '-w', '%{http_code}', '-H', header, `${this.#stage.url}${path}`],
      { timeoutMs: ANSWER_TIMEOUT_MS },
    );
    const text = status === 0 ? readFileSync(file, 'utf8') : '';
    if (stdout !== '200') throw new Error(`${path}: ${stdout} ${text.slice(0, 300)}`);
    return text;
  }

  async host(hostId: string, fromMs: number, toMs: number): Promise<HostDetail> {
    const window = `from=${new Date(fromMs).toISOString()}&to=${new Date(toMs).toISOString()}`;
    return JSON.parse(await this.#ask(`/api/v1/hosts/${hostId}?${window}`)) as HostDetail;
  }

  /** Every gap of the host: as the API lists them, or, where it lists only the longest, from the same store by the same rules. */
  async gaps(hostId: string, nowMs: number): Promise<Span[]> {
    const { readiness } = await this.host(hostId, nowMs - DAY_MS, nowMs);
    const { gaps, gap_count } = readiness.coverage;
    if (gap_count <= gaps.length) {
      return gaps.map(({ from, to, reason, detail }) => ({
        fromMs: Date.parse(from),
        toMs: Date.parse(to),
        reason: detail === null ? reason : `${reason} (${detail})`,
      }));
    }
    const store = openStoreForReading(this.#stage.dataDir);
    try {
      const window = { sinceUs: (nowMs - DAY_MS) * 1000, untilUs: nowMs * 1000 };
      const [coverage] = await store.coverage(window, [hostId]);
      return watchedOf(coverage ?? null, [], window, window.untilUs).gaps.map((gap) => ({
        fromMs: gap.startUs / 1000,
        toMs: gap.endUs / 1000,
        reason: gap.detail === null ? gap.reason : `${gap.reason} (${gap.detail})`,
      }));
    } finally {
      await store.close();
    }
  }

  /** Every call that is stored one by one for the host and has a campaign's number. */
  async calls(hostId: string, fromMs: number, toMs: number): Promise<StoredCall[]> {
    const window = `from=${new Date(fromMs).toISOString()}&to=${new Date(toMs).toISOString()}`;
    const text = await this.#ask(`/api/v1/calls?host=${hostId}&format=ndjson&${window}`);
    return text.split('\n').flatMap((line) => {
      if (line === '') return [];
      const call = JSON.parse(line) as Call;
      const number = numberIn(call['url.query']);
      return number === null ? [] : [{ number, version: call['imds.version'] }];
    });
  }
}

/** Those with a number that were answered. */
export function answeredCalls(seen: readonly SeenRequest[]): AnsweredCall[] {
  return seen.flatMap(({ target, status, time, version }) => {
    const number = numberIn(target?.split('?')[1] ?? null);
    if (number === null || status === null || version === null) return [];
    return [{ number, timeMs: Date.parse(time), version }];
  });
}

function numberIn(query: string | null): number | null {
  const match = /^n=(\d+)$/.exec(query ?? '');
  return match === null ? null : Number(match[1]);
}
