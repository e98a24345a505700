/**
 * Facts of the host that are kept across restarts: `host.json` in the spool's directory, readable by its
 * owner only. The file names the machine on which it was written, so that a copy from another host's disk
 * image is recognised.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { writeFileAtomically } from '../../common/atomic_file.ts';
import type { Machine } from './host_facts.ts';
import { instanceFacts } from './instance_metadata.ts';

const FILE = 'host.json';

const kept = z.object({
  version: z.literal(1),
  /** The id that this host uses, and its source. */
  id: z.string().min(1),
  source: z.enum(['given', 'dmi', 'imds', 'node_name', 'machine_id', 'host_name']),
  machine: z.object({
    instanceId: z.string().nullable(),
    xenUuid: z.string().nullable(),
    machineId: z.string().nullable(),
    nodeName: z.string().nullable(),
  }),
  /** Facts from the metadata service; null before its first answer. */
  learnt: instanceFacts.nullable(),
  /** Boot in which the facts were learnt. The instance may have another type in another boot. */
  learnt_boot_id: z.string().nullable(),
  /** Requests to the metadata service during this boot, stored so that restarts cannot exceed the limit. */
  boot_id: z.string(),
  attempts: z.int().min(0),
  requests: z.int().min(0),
  /** Reason of the last failed attempt. */
  failure: z.string().nullable(),
});
export type KeptHost = Omit<z.infer<typeof kept>, 'version'>;

/**
 * Returns null without a file, or with one that is not valid (`damaged`). Throws errors of the file system,
 * except ENOENT.
 */
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
  writeFileAtomically(directory, FILE, JSON.stringify({ version: 1, ...host }));
}

/**
 * Compares the best mark that both have: DMI's instance id, Xen's UUID, then machine id and node name
 * together.
 */
export function isSameMachine(kept: KeptHost['machine'], now: Omit<Machine, 'hostName'>): boolean {
  for (const mark of ['instanceId', 'xenUuid'] as const) {
    if (kept[mark] !== null && now[mark] !== null) return kept[mark] === now[mark];
  }
  return kept.machineId === now.machineId && kept.nodeName === now.nodeName;
}
