/** Describes what a check is, and what it says. One file a check; `examination.ts` has the list. */
import type { AgentSettings } from '../../agent/config.ts';
import type { KeptState } from '../../agent/outbox/state_file.ts';
import type { CollectorSettings } from '../../collector/config.ts';

/** `skip`: not checked, and why. */
export type Status = 'ok' | 'warn' | 'fail' | 'skip';

export interface Finding {
  status: Status;
  /** One sentence: what is. */
  text: string;
  /** One or two: what to do about it; null where nothing is to be done. */
  remedy: string | null;
}

export interface Check<Side> {
  /** One or two words, for the table. */
  readonly name: string;
  /** Tells whether there is anything to check. */
  applies(side: Side): boolean;
  examine(side: Side): Finding[] | Promise<Finding[]>;
}

/** A configuration file as it was found. */
export interface ConfigurationFile {
  /** Null: there is none. */
  file: string | null;
  /** Why it cannot be used; then everything else is examined without it. */
  problem: string | null;
}

/** Tells whether an agent has the spool. `unknown`: its directory is not ours to read. */
export interface RunningAgent {
  pid: number | null;
  isRunning: boolean | 'unknown';
  state: KeptState | null;
}

export interface AgentSide {
  settings: AgentSettings;
  configuration: ConfigurationFile;
  running: RunningAgent;
  /** Effective capabilities of this process. */
  capabilities: bigint;
}

export interface CollectorSide {
  settings: CollectorSettings;
  configuration: ConfigurationFile;
}

export const ok = (text: string): Finding => ({ status: 'ok', text, remedy: null });
export const warn = (text: string, remedy: string): Finding => ({ status: 'warn', text, remedy });
export const fail = (text: string, remedy: string): Finding => ({ status: 'fail', text, remedy });
export const skip = (text: string, remedy: string | null = null): Finding => ({
  status: 'skip',
  text: `not checked: ${text}`,
  remedy,
});

export const AS_ROOT = 'Run it as root: sudo imdswatch doctor.';

/** Tells whether an error of the file system means that this user may not. */
export function isDenied(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '');
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
