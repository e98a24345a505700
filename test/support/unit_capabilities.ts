/** Runs a command with the capabilities that the agent's unit gives, and no others, as root. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const UNIT = join(import.meta.dirname, '../../systemd/imdswatch-agent.service');
/** The unit gives these by number. */
const NAMES: Record<string, string> = { 38: 'perfmon', 39: 'bpf' };

const given = /^CapabilityBoundingSet=(.*)$/m.exec(readFileSync(UNIT, 'utf8'))![1]!.split(' ');

/** The words of setpriv(1) that stand before the command. */
export const UNIT_CAPABILITIES: readonly string[] = [
  ...['setpriv', '--no-new-privs', '--bounding-set'],
  ['-all', ...given.map((name) => `+${NAMES[name] ?? name.replace('CAP_', '').toLowerCase()}`)].join(','),
  '--',
];
