/** Attempts that use the moments in which nobody watches: starts, ends, stops, floods, clocks. */
import { setTimeout as sleep } from 'node:timers/promises';
import { addAddress, ip } from '../../../lab/namespaces.ts';
import { IMDS_IPV4, IMDS_IPV6 } from '../../../protocol/endpoints.ts';
import type { SteppedClock } from '../../support/collector/stepped_clock.ts';
import type { Evasion } from './evasion_lab.ts';
import { type EvasionLab, until } from './evasion_lab.ts';
import { ask } from './namespaces.ts';
import type { End } from './outcome.ts';
import { addOwnWay } from './own_way.ts';

const RESTARTS = 8;
const REPORT_TIMEOUT_MS = 60_000;

function attempt(name: string, end: End, tries: string, act: Evasion['act']): Evasion {
  return { name, tries, end, act };
}

function call(lab: EvasionLab, tag: string, how = 'plain') {
  return lab.attackers.unprivileged('callers.py', how, tag);
}

/** Runs `action` while the agent does not. */
async function whileStopped(lab: EvasionLab, action: () => Promise<void>): Promise<void> {
  const { pid } = lab.agent!;
  process.kill(pid, 'SIGSTOP');
  try {
    await action();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

/** Waits until the collector has a report of coverage that is newer than now. */
async function nextReport(lab: EvasionLab): Promise<void> {
  const last = async () => (await lab.host())?.readiness.boots.at(-1)?.last_report;
  const before = await last();
  await until('a report comes', REPORT_TIMEOUT_MS, async () => (await last()) !== before);
}

export const TIME: Evasion[] = [
  attempt(
    'between-restarts',
    'gap',
    'The agent is restarted in order, and a call is made each time.',
    async (lab, tag) => {
      for (let n = 0; n < RESTARTS; n++) {
        await lab.stopAgent();
        await call(lab, tag);
        await lab.startAgent();
      }
    },
  ),
  attempt('killed-behind-a-report', 'gap', 'The agent is killed right behind a report.', async (lab, tag) => {
    await nextReport(lab);
    await lab.stopAgent('SIGKILL');
    await call(lab, tag);
    await lab.startAgent();
  }),
  attempt('killed-behind-the-call', 'gap', 'The agent is killed right behind the call.', async (lab, tag) => {
    await nextReport(lab);
    await call(lab, tag);
    await lab.stopAgent('SIGKILL');
    await lab.startAgent();
  }),
  attempt('killed-during-calls', 'gap', 'The agent is killed while calls are made.', async (lab, tag) => {
    const calls = call(lab, tag, 'again_and_again');
    await sleep(1_000);
    await lab.stopAgent('SIGKILL');
    await lab.startAgent();
    await calls;
  }),
  attempt(
    'during-an-orderly-end',
    'gap',
    'The agent ends in order while calls are made.',
    async (lab, tag) => {
      const calls = call(lab, tag, 'again_and_again');
      await sleep(1_000);
      await lab.stopAgent();
      await lab.startAgent();
      await calls;
    },
  ),
  attempt('before-the-first-report', 'call', 'The call comes right behind the start.', async (lab, tag) => {
    await lab.stopAgent();
    await lab.startAgent();
    await call(lab, tag);
  }),
  attempt(
    'stopped-for-a-moment',
    'call',
    'The agent is stopped while the call is made.',
    async (lab, tag) => {
      await whileStopped(lab, async () => {
        await call(lab, tag);
        await sleep(1_000);
      });
    },
  ),
  attempt(
    'stopped-in-a-flood',
    'either',
    'The agent is stopped while calls fill its ring.',
    async (lab, tag) => {
      await whileStopped(lab, async () => {
        await call(lab, tag, 'burst');
      });
    },
  ),
  attempt(
    'five-thousand-calls',
    'either',
    'Five thousand calls come as fast as they can be made.',
    async (lab, tag) => {
      await call(lab, tag, 'long_burst');
    },
  ),
  attempt('interface-away', 'gap', 'The interface goes down and up before the call.', async (lab, tag) => {
    await interfaceDownAndUp(lab);
    await call(lab, tag);
  }),
  attempt('older-than-the-agent', 'call', 'The connection is older than the agent.', async (lab, tag) => {
    await lab.stopAgent();
    const kept = await lab.attackers.conversing('kept_open', tag);
    await lab.startAgent();
    await sleep(1_000);
    for (let n = 0; n < 3; n++) await ask(kept);
    await kept.stop();
  }),
  attempt(
    'older-than-the-agent-by-an-own-way',
    'either',
    'The same in a namespace with an own way.',
    async (lab, tag) => {
      const way = await addOwnWay(lab);
      try {
        await lab.stopAgent();
        const kept = await lab.attackers.conversing('kept_open', tag, way);
        await lab.startAgent();
        await sleep(1_000);
        for (let n = 0; n < 3; n++) await ask(kept);
        await kept.stop();
      } finally {
        way.remove();
      }
    },
  ),
  attempt(
    'own-port-taken-over',
    'call',
    "The call comes from the port of the agent's own, ended call.",
    async (lab, tag) => {
      await lab.stopAgent();
      const thief = await lab.attackers.conversing('on_the_port_of_the_agent', tag);
      lab.options = { ...lab.options, flags: ['--identity-from-imds'] };
      await lab.startAgent();
      await thief.exited;
    },
  ),
];

/** An interface that goes down loses its IPv6 addresses and its routes. */
async function interfaceDownAndUp({ lab }: EvasionLab): Promise<void> {
  const { hostNamespace: host } = lab;
  const { ipv4, ipv6 } = lab.hostAddresses;
  await ip('-n', host, 'link', 'set', 'eth0', 'down');
  await sleep(1_000);
  await ip('-n', host, 'link', 'set', 'eth0', 'up');
  await ip('-n', host, 'route', 'replace', `${IMDS_IPV4}/32`, 'dev', 'eth0', 'src', ipv4);
  if (ipv6 === null) return;
  await addAddress(host, 'eth0', `${ipv6}/64`);
  await ip('-n', host, '-6', 'route', 'replace', `${IMDS_IPV6}/128`, 'dev', 'eth0', 'src', ipv6);
}

/** Needs an agent with a clock of its own: see `steppedClock`. */
export function clockSteps(clock: () => SteppedClock): Evasion[] {
  const around =
    (seconds: number): Evasion['act'] =>
    async (lab, tag) => {
      await nextReport(lab);
      clock().set(seconds);
      await call(lab, tag);
      await sleep(500);
      clock().set(0);
    };
  return [
    attempt('clock-behind', 'call', 'The clock is a minute behind for the time of the call.', around(-60)),
    // The last one: a report of the future stays the newest for a minute, and `nextReport` would not see the next ones.
    attempt('clock-ahead', 'call', 'The clock is a minute ahead for the time of the call.', around(60)),
  ];
}
