/**
 * Defines a check of doctor and its findings. Each check has a file of its own; `all_checks.ts` lists them.
 */
import type { AgentSettings } from '../../agent/config.ts';
import type { KeptState } from '../../agent/outbox/state_file.ts';
import type { CollectorSettings } from '../../collector/config.ts';

/** `skip` means that something was not checked; the finding's text says why. */
export type Status = 'ok' | 'warn' | 'fail' | 'skip';

export interface Finding {
  status: Status;
  /** One sentence that states what was found. */
  text: string;
  /** One or two sentences that say what to do about it; null when nothing has to be done. */
  remedy: string | null;
}

export interface Check<Side> {
  /** One or two words that name the check in the table. */
  readonly name: string;
  /** Tells whether there is anything to check. */
  applies(side: Side): boolean;
  run(side: Side): Finding[] | Promise<Finding[]>;
}

/** The configuration file that was found, and whether it can be used. */
export interface ConfigurationFile {
  /** Null when there is none. */
  file: string | null;
  /** Says why the file cannot be used; null when it can. The other checks then run without the file. */
  problem: string | null;
}

/** The agent that uses the spool. `unknown` means that this user cannot read the spool directory. */
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

export const AS_ROOT = 'Run as root: sudo imdswatch doctor.';

/** Tells whether an error of the file system means that this user lacks the permission. */
export function isDenied(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '');
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
