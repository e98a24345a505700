/** A campaign is played in parts, each with a host of its own. Values in, values out. */
import { FAULT_KINDS, type Fault, makePlan } from './plan.ts';

export interface Part {
  hostId: string;
  /** `rolled_up`: routine calls are summed up, as by default. */
  detail: 'all' | 'rolled_up';
  lengthMs: number;
  plan: Fault[];
}

export interface PartOptions {
  seed: number;
  lengthMs: number;
  rolledUpShare: number;
}

/**
 * A host keeps 48 gaps of a reason and day; further ones are merged with their neighbours, and one gap then spans much of
 * the campaign. Faults are too many for one host: no part is longer than this.
 */
const LONGEST_MS = 4 * 60_000;
/** Sums are compared with a log that must be complete: a service that is killed may not have said all it saw. */
const ROLLED_KINDS = FAULT_KINDS.filter((kind) => kind !== 'restart_service' && kind !== 'damage_spool');

export function partsOf({ seed, lengthMs, rolledUpShare }: PartOptions): Part[] {
  const wholeMs = lengthMs * (1 - rolledUpShare);
  const count = Math.ceil(wholeMs / LONGEST_MS);
  const parts: Part[] = [];
  for (let index = 0; index < count; index += 1) {
    const partMs = wholeMs / count;
    const plan = makePlan({ seed: seed + 2 * index, lengthMs: partMs });
    parts.push({ hostId: `campaign-host-${index + 1}`, detail: 'all', lengthMs: partMs, plan });
  }
  const rolledMs = lengthMs - wholeMs;
  const plan = makePlan({ seed: seed + 1, lengthMs: rolledMs, kinds: ROLLED_KINDS });
  parts.push({ hostId: 'campaign-rolled', detail: 'rolled_up', lengthMs: rolledMs, plan });
  return parts;
}
