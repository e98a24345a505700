/** Returns the host id that an agent with these settings uses, as far as this user can read it. */

import type { AgentSettings } from '../../agent/config.ts';
import { isSameMachine, readHostCache } from '../../agent/host/host_cache.ts';
import { idOf, readMachine } from '../../agent/host/host_facts.ts';
import { isDenied } from './check.ts';

export function hostIdOf(settings: AgentSettings): string {
  const machine = readMachine();
  const { id, source } = idOf(settings, machine);
  if (source === 'given' || source === 'dmi') return id;
  try {
    const { host } = readHostCache(settings.spool_dir);
    return host !== null && isSameMachine(host.machine, machine) ? host.id : id;
  } catch (error) {
    if (isDenied(error)) return id;
    throw error;
  }
}
