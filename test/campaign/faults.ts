/** Carries out the faults of a plan, one after the other, and puts right what each has broken. */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../../bench/collector/random.ts';
import type { Fault, FaultKind } from './plan.ts';
import type { Stage } from './stage.ts';

/** Files of the spool that damage may hit. The credential is not delivery's, and the lock holds nothing. */
const SPOOL_FILE = /^(?:[a-z0-9]+-\d{16}\.log|ledger|open_rollups)$/;
const MOST_DAMAGED_FILES = 3;
const MOST_FLIPPED_BYTES = 8;

type Act = (stage: Stage, fault: Fault) => Promise<void>;

const ACTS: Record<FaultKind, Act> = {
  kill_agent: (stage, { forMs }) => again([stage.agent], 'SIGKILL', forMs),
  kill_collector: (stage, { forMs }) => again([stage.collector], 'SIGKILL', forMs),
  kill_both: (stage, { forMs }) => again([stage.agent, stage.collector], 'SIGKILL', forMs),
  end_agent: (stage, { forMs }) => again([stage.agent], 'SIGTERM', forMs),
  end_collector: (stage, { forMs }) => again([stage.collector], 'SIGTERM', forMs),
  stop_agent: (stage, { forMs }) => stopped(stage.agent, forMs),
  stop_collector: (stage, { forMs }) => stopped(stage.collector, forMs),
  cut_network: (stage, { forMs }) => whileCut(stage, () => sleep(forMs)),
  cut_and_kill_agent: (stage, { forMs }) =>
    whileCut(stage, async () => {
      await sleep(forMs / 2);
      await again([stage.agent], 'SIGKILL', forMs / 2);
    }),
  damage_spool: (stage, { forMs, seed }) =>
    whileCut(stage, async () => {
      await sleep(forMs);
      await stage.agent.end('SIGKILL');
      damage(stage.spoolDir, new Random(seed));
      stage.agent.start();
      // The agent finds and counts what is gone before it can send any of it.
      await sleep(300);
    }),
  fill_spool: (stage, { forMs }) => whileFull(stage.spoolDisk, () => sleep(forMs)),
  fill_spool_and_cut: (stage, { forMs }) =>
    whileCut(stage, () => whileFull(stage.spoolDisk, () => sleep(forMs))),
  fill_data: (stage, { forMs }) => whileFull(stage.dataDir, () => sleep(forMs)),
  step_host_clock: async (stage, { seconds, forMs }) => {
    stage.setHostClock(seconds);
    await sleep(forMs);
  },
  step_collector_clock: async (stage, { seconds, forMs }) => {
    stage.collectorClock.set(seconds);
    await sleep(forMs);
  },
  restart_service: (stage, { seed }) => stage.restartService(seed % 2 === 0 ? 'SIGKILL' : 'SIGTERM'),
};

export function carryOut(stage: Stage, fault: Fault): Promise<void> {
  return ACTS[fault.kind](stage, fault);
}

async function again(
  processes: { end(signal: NodeJS.Signals): Promise<void>; start(): void }[],
  signal: NodeJS.Signals,
  forMs: number,
): Promise<void> {
  await Promise.all(processes.map((one) => one.end(signal)));
  await sleep(forMs);
  for (const one of processes) one.start();
}

async function stopped(
  process: { signal(signal: 'SIGSTOP' | 'SIGCONT'): void },
  forMs: number,
): Promise<void> {
  process.signal('SIGSTOP');
  try {
    await sleep(forMs);
  } finally {
    process.signal('SIGCONT');
  }
}

async function whileCut(stage: Stage, work: () => Promise<void>): Promise<void> {
  stage.cut();
  try {
    await work();
  } finally {
    stage.mend();
  }
}

async function whileFull(directory: string, work: () => Promise<void>): Promise<void> {
  const filler = join(directory, 'filler');
  try {
    const { bavail, bsize } = statfsSync(directory);
    writeFileSync(filler, Buffer.alloc(bavail * bsize));
  } catch (error) {
    // Somebody else took some of it meanwhile: full is full.
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
  try {
    await work();
  } finally {
    rmSync(filler, { force: true });
  }
}

/** Flips bytes in some files of the spool, or cuts their ends off. */
export function damage(directory: string, random: Random): string[] {
  const files = readdirSync(directory).filter((file) => SPOOL_FILE.test(file));
  const done: string[] = [];
  if (files.length === 0) return done;
  for (let count = 1 + random.below(MOST_DAMAGED_FILES); count > 0; count -= 1) {
    const file = random.of(files.sort());
    const fd = openSync(join(directory, file), 'r+');
    try {
      const { size } = fstatSync(fd);
      if (size === 0) continue;
      // A ledger that is cut is one that is gone.
      if (random.next() < 0.3) {
        const left = random.below(size);
        ftruncateSync(fd, left);
        done.push(`${file} cut from ${size} to ${left} bytes`);
        continue;
      }
      const flips = 1 + random.below(MOST_FLIPPED_BYTES);
      for (let flip = 0; flip < flips; flip += 1) {
        const at = random.below(size);
        const byte = Buffer.alloc(1);
        readSync(fd, byte, 0, 1, at);
        byte[0] = byte[0]! ^ (1 << random.below(8));
        writeSync(fd, byte, 0, 1, at);
      }
      done.push(`${file}: ${flips} bits flipped in ${size} bytes`);
    } finally {
      closeSync(fd);
    }
  }
  return done;
}
