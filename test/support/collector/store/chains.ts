/** Chains of processes as agents report them, written as commands. */
import { scriptOf } from '../../../../agent/identity/script.ts';
import type { Ancestor, ProcessFacts } from '../../../../protocol/call.ts';
import { processFacts } from '../calls.ts';

/** `/usr/bin/bash: bash /opt/a.sh`: executable and arguments. Without a colon the arguments are not known. */
export type Step = string | { executable: string; args: string[] | null };

function read(step: Step): { executable: string; args: string[] | null } {
  if (typeof step !== 'string') return step;
  const [executable = '', command] = step.split(': ', 2);
  return { executable, args: command === undefined ? null : command.split(' ') };
}

/** Returns the caller, first in the list, with its parents, nearest first. The last one is pid 1 if it is systemd. */
export function chainOf(caller: Step, ...parents: Step[]): ProcessFacts {
  const { executable, args } = read(caller);
  return processFacts({
    name: executable.slice(executable.lastIndexOf('/') + 1, 255),
    'executable.path': executable,
    command_args: args,
    script: scriptOf(executable, args, '/work'),
    ancestors: parents.map((step, index): Ancestor => {
      const parent = read(step);
      const isInit = index === parents.length - 1 && /systemd$/.test(parent.executable);
      return {
        pid: isInit ? 1 : 100 + index,
        name: 'any',
        'executable.path': parent.executable,
        command_args: parent.args,
        ...(parent.args !== null && { script: scriptOf(parent.executable, parent.args, '/work') }),
      };
    }),
  });
}
