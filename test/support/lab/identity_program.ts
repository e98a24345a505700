/** Run in a lab: finds out which host this is, as the agent does, and prints what came of it. Argument: JSON of `Asked`. */
import { pino } from 'pino';
import type { Machine } from '../../../agent/host/host_facts.ts';
import { HostIdentity } from '../../../agent/host/host_identity.ts';

export interface Asked {
  directory: string;
  machine: Partial<Machine>;
  bootId: string;
  /** Milliseconds to go on for after the id is settled. */
  goOnMs: number;
  firstRetryMs?: number;
}

const { directory, machine, bootId, goOnMs, firstRetryMs } = JSON.parse(process.argv[2]!) as Asked;
const identity = new HostIdentity({
  given: {},
  directory,
  asks: true,
  bootId,
  spoolHostId: null,
  log: pino({ level: 'silent' }),
  machine: {
    instanceId: null,
    xenUuid: null,
    machineId: null,
    nodeName: null,
    hostName: 'lab',
    ...machine,
  },
  ...(firstRetryMs !== undefined && { firstRetryMs }),
});
const begin = performance.now();
const { id } = await identity.settled();
const settledMs = performance.now() - begin;
await new Promise((resolve) => setTimeout(resolve, goOnMs));
identity.stop();
const told = { id, settledMs, source: identity.source, facts: identity.facts, counters: identity.counters() };
process.stdout.write(JSON.stringify(told));
