/** The collector's findings for the enforcement, asked over HTTP from another machine. */
import type * as z from 'zod';
import {
  enforcementCallerHosts,
  enforcementCalls,
  enforcementCollector,
  enforcementGroup,
  enforcementHosts,
  enforcementNewHosts,
  enforcementPlans,
  enforcementWatched,
  MAX_QUESTIONED,
  MAX_WATCHED_HOSTS,
} from '../../collector/contract/enforcement.ts';
import type { HostFinding, TokenlessCall } from '../../enforce/findings.ts';
import { describeTarget } from '../../enforce/run/describe_progress.ts';
import type { AskOptions, CollectorClient } from '../collector_client/collector_client.ts';
import { requireAdmin } from '../collector_client/require_admin.ts';
import { ClockDifference } from './clock_difference.ts';
import type { OpenFindings } from './local_findings.ts';
import { callOf, hostOf } from './served_findings.ts';

/** Questions that are asked every second. The next one takes the place of one that fails. */
const WATCHING: AskOptions = { timeoutMs: 5000, attempts: 1 };

/** Questions about a few hosts. A process that is ended by a signal waits for what is under way. */
const JUDGING: AskOptions = { timeoutMs: 10_000, attempts: 2 };

/**
 * Asks the collector what it is, so that one that cannot help is refused before anything is done. `needs`: the role that
 * the work needs. Throws `OperatorError`: 3 for another role.
 */
export async function openRemoteFindings(
  client: CollectorClient,
  needs: 'viewer' | 'admin',
): Promise<OpenFindings> {
  const clock = new ClockDifference();
  /** Learns the clock from every answer: it may be set during a soak of days. */
  const timed = async <T extends { now: string }>(question: () => Promise<T>): Promise<T> => {
    const sentMs = Date.now();
    const answer = await question();
    clock.learn(sentMs, Date.now(), answer.now);
    return answer;
  };
  const get = <S extends z.ZodType<{ now: string }>>(path: string, schema: S, options?: AskOptions) =>
    timed(() => client.get(path, schema, options));
  const ask = <S extends z.ZodType<{ now: string }>>(
    path: string,
    question: unknown,
    schema: S,
    options?: AskOptions,
  ) => timed(() => client.ask(path, question, schema, options));

  await get('/enforcement', enforcementCollector);
  if (needs === 'admin') await requireAdmin(client, 'because its steps are reported and audited');
  const message = clock.message();
  if (message !== null) process.stderr.write(`${message}\n`);

  async function hosts(ids: readonly string[] | null): Promise<HostFinding[]> {
    const found: HostFinding[] = [];
    if (ids !== null) {
      for (const part of parts(ids)) {
        const { items } = await ask('/enforcement/hosts', { hosts: part }, enforcementHosts, JUDGING);
        found.push(...items.map(hostOf));
      }
      return found;
    }
    let after: string | null = null;
    do {
      const page: z.infer<typeof enforcementHosts> = await ask(
        '/enforcement/hosts',
        { hosts: null, after },
        enforcementHosts,
      );
      found.push(...page.items.map(hostOf));
      after = page.next;
    } while (after !== null);
    return found;
  }

  return {
    hosts,
    group: async (id, { account, region }) => {
      const query = new URLSearchParams({ id, account, region });
      const { group } = await get(`/enforcement/group?${query}`, enforcementGroup, JUDGING);
      return group === null
        ? null
        : { id, verdict: group.verdict, reason: group.reason, startSeen: group.start_seen };
    },
    refusedCalls: async (sinceMs, { hostIds, scalingGroups }) => {
      const found: TokenlessCall[] = [];
      // Launches add hosts to a plan while it is carried out, so no number of them may end the watch.
      for (const [at, hosts] of (hostIds.length === 0 ? [[]] : parts(hostIds, MAX_WATCHED_HOSTS)).entries()) {
        const question = {
          result: 'refused',
          since: clock.earliest(sinceMs),
          hosts,
          scaling_groups: at === 0 ? scalingGroups : [],
        };
        const { items } = await ask('/enforcement/calls', question, enforcementCalls, WATCHING);
        found.push(...items.map(callOf));
      }
      return found;
    },
    newHosts: async ({ account, region }, sinceMs) => {
      const query = new URLSearchParams({ account, region, since: clock.earliest(sinceMs) });
      const { items } = await get(`/enforcement/new-hosts?${query}`, enforcementNewHosts, WATCHING);
      return items.map(({ host, tags }) => ({ hostId: host, tags }));
    },
    acceptedCalls: async (hostIds, sinceMs) => {
      // Earlier calls were answered before the change, so that a later begin is the cautious one here.
      const question = { result: 'accepted', since: clock.latest(sinceMs), hosts: hostIds };
      const { items } = await ask('/enforcement/calls', question, enforcementCalls);
      return items.map(callOf);
    },
    hostsOfCaller: async (callerId) => {
      const query = new URLSearchParams({ offender: callerId });
      return (await get(`/enforcement/caller-hosts?${query}`, enforcementCallerHosts, WATCHING)).hosts;
    },
    watched: async (hostIds, { sinceMs, untilMs }) => {
      const watched = new Map<string, number>();
      for (const part of parts(hostIds)) {
        const question = { hosts: part, since: clock.latest(sinceMs), until: clock.earliest(untilMs) };
        // A span shorter than the clocks are known has not been watched.
        if (Date.parse(question.since) >= Date.parse(question.until)) continue;
        const { items } = await ask('/enforcement/watched', question, enforcementWatched, WATCHING);
        for (const { host, watched_ms: ms } of items) watched.set(host, ms);
      }
      return watched;
    },
    otherPlans: async (planId, target) => {
      const { type, account, region, id } = describeTarget(target);
      const query = new URLSearchParams({
        type,
        account,
        region,
        except: planId,
        ...(id !== null && { id }),
      });
      return (await get(`/enforcement/plans?${query}`, enforcementPlans, JUDGING)).plans;
    },
    // The reports of the plan's progress are what a remote collector audits.
    audit: async () => {},
    close: async () => client.close(),
  };
}

/** Cuts a list into parts of `size` at most. An empty list has no part. */
function parts<T>(items: readonly T[], size = MAX_QUESTIONED): T[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, at) => items.slice(at * size, (at + 1) * size));
}
