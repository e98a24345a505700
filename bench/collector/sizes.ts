/** Sizes of the measures, in a whole run and in a quick one. */
import type { HostileCase } from './hostile.ts';
import { type IngestCase, NEW_PROCESS_SHARE } from './ingest.ts';
import type { PastSize } from './past.ts';

export interface Sizes {
  ingest: IngestCase[];
  idle: { agents: number[]; forMs: number };
  arrival: { calls: number; callsPerSecond: number }[];
  pasts: PastSize[];
  questions: { repetitions: number; questionMs: number };
  hostile: HostileCase;
  wire: { calls: number; callsPerBatch: number };
  /** Processor time for each shape. */
  shapesMs: number;
}

function ingestCases(warmUpMs: number, forMs: number): IngestCase[] {
  const common = { tls: false, newProcessShare: NEW_PROCESS_SHARE, warmUpMs, forMs };
  const full = { ...common, callsPerSecond: null };
  const paced = { ...common, callsPerSecond: 30_000 };
  return [
    { ...full, name: '1 agent, all it may', agents: 1 },
    { ...full, name: '10 agents, all they may', agents: 10 },
    { ...full, name: '1,000 agents, all they may', agents: 1000 },
    { ...full, name: '10 agents over TLS, all they may', agents: 10, tls: true },
    { ...full, name: '10 agents, every call by a new process', agents: 10, newProcessShare: 1 },
    { ...paced, name: '10 agents at 30,000/s', agents: 10 },
    { ...paced, name: '1,000 agents at 30,000/s', agents: 1000 },
    { ...paced, name: '1,000 agents over TLS at 30,000/s', agents: 1000, tls: true },
    { ...paced, name: '1,000 agents at 10,000/s', agents: 1000, callsPerSecond: 10_000 },
  ];
}

export const FULL_SIZES: Sizes = {
  ingest: ingestCases(5_000, 20_000),
  idle: { agents: [1_000, 5_000], forMs: 30_000 },
  arrival: [
    { calls: 100, callsPerSecond: 0 },
    { calls: 100, callsPerSecond: 10_000 },
  ],
  pasts: [
    { hosts: 1_000, days: 90, calls: 10_000_000, rawCalls: 500_000 },
    { hosts: 1_000, days: 90, calls: 100_000_000, rawCalls: 5_000_000 },
  ],
  questions: { repetitions: 60, questionMs: 10_000 },
  hostile: { agents: 100, callsPerSecond: 300, quietMs: 20_000, attackMs: 60_000 },
  wire: { calls: 20_000, callsPerBatch: 140 },
  shapesMs: 3_000,
};

export const QUICK_SIZES: Sizes = {
  ingest: [
    {
      name: '10 agents, all they may',
      agents: 10,
      callsPerSecond: null,
      tls: false,
      newProcessShare: NEW_PROCESS_SHARE,
      warmUpMs: 300,
      forMs: 1_000,
    },
    {
      name: '50 agents over TLS at 500/s',
      agents: 50,
      callsPerSecond: 500,
      tls: true,
      newProcessShare: NEW_PROCESS_SHARE,
      warmUpMs: 300,
      forMs: 1_000,
    },
  ],
  idle: { agents: [50], forMs: 1_000 },
  arrival: [{ calls: 5, callsPerSecond: 0 }],
  pasts: [{ hosts: 20, days: 20, calls: 100_000, rawCalls: 5_000 }],
  questions: { repetitions: 3, questionMs: 200 },
  hostile: { agents: 20, callsPerSecond: 100, quietMs: 2_000, attackMs: 3_000 },
  wire: { calls: 2_000, callsPerBatch: 140 },
  shapesMs: 50,
};

/** Sizes of a soak: the number of agents, and the time between two samples of memory. */
export const SOAK_AGENTS = 20;
export const SOAK_SAMPLE_MS = 60_000;
