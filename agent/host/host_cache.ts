/**
 * What is known of the host, kept across restarts: `host.json` in the spool's directory, for its owner only. It says on which
 * machine it was written, so that one that came along with a disk image is seen for what it is.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { writePrivateFile } from '../../common/private_file.ts';
import type { Machine } from './host_facts.ts';
import { instanceFacts } from './instance_metadata.ts';

const FILE = 'host.json';

const kept = z.object({
  version: z.literal(1),
  /** The id that this host goes by, and where it is from. */
  id: z.string().min(1),
  source: z.enum(['given', 'dmi', 'imds', 'node_name', 'machine_id', 'host_name']),
  machine: z.object({
    instanceId: z.string().nullable(),
    xenUuid: z.string().nullable(),
    machineId: z.string().nullable(),
    nodeName: z.string().nullable(),
  }),
  /** What the metadata service said; null while it has said nothing. */
  learnt: instanceFacts.nullable(),
  /** Boot in which it was said; another boot may be of another type. */
  learnt_boot_id: z.string().nullable(),
  /** What was asked of it in this boot: there is a bound, whoever restarts us how often. */
  boot_id: z.string(),
  attempts: z.int().min(0),
  requests: z.int().min(0),
  /** Why the last attempt failed. */
  failure: z.string().nullable(),
});
export type KeptHost = Omit<z.infer<typeof kept>, 'version'>;

/** Null where there is none, or none that can be understood (`damaged`). Throws what the file system throws, but for ENOENT. */
export function readHostCache(directory: string): { host: KeptHost | null; damaged: boolean } {
  let text: string;
  try {
    text = readFileSync(join(directory, FILE), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { host: null, damaged: false };
    throw error;
  }
  try {
    const { version: _, ...host } = kept.parse(JSON.parse(text));
    return { host, damaged: false };
  } catch {
    return { host: null, damaged: true };
  }
}

/** Replaces the file as a whole. Throws errors of the file system. */
export function writeHostCache(directory: string, host: KeptHost): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writePrivateFile(directory, FILE, JSON.stringify({ version: 1, ...host }));
}

/** By the best mark that both have: DMI's instance id, Xen's UUID, then machine id and node name together. */
export function isSameMachine(kept: KeptHost['machine'], now: Omit<Machine, 'hostName'>): boolean {
  for (const mark of ['instanceId', 'xenUuid'] as const) {
    if (kept[mark] !== null && now[mark] !== null) return kept[mark] === now[mark];
  }
  return kept.machineId === now.machineId && kept.nodeName === now.nodeName;
}
