/** Ends a process with all of its children at once, as a crash of the machine does. Linux only. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 5;
const GONE_MS = 60_000;

/**
 * Kills a process and its children, and resolves when none of them holds memory, files or sockets any more. The parent is
 * stopped first: a child that it starts between the reading of the list and its own death would live on.
 */
export async function killFamily(parent: number): Promise<void> {
  send(parent, 'SIGSTOP');
  await until(() => 'TtZX'.includes(stateOf(parent)), `process ${parent} does not stop`);
  const pids = [parent, ...childrenOf(parent)];
  for (const pid of pids) send(pid, 'SIGKILL');
  // A zombie has given back everything but its number.
  await until(() => pids.every((pid) => 'ZX'.includes(stateOf(pid))), `processes ${pids} do not end`);
}

function childrenOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return children === '' ? [] : children.split(' ').map(Number);
  } catch {
    return []; // The process has ended by itself.
  }
}

/** Returns the state of a process by proc(5), such as `S` or `Z`; `X` where there is no such process. */
function stateOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2)[0]!;
  } catch {
    return 'X';
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // The process has ended by itself.
  }
}

async function until(isTrue: () => boolean, otherwise: string): Promise<void> {
  const deadline = performance.now() + GONE_MS;
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error(otherwise);
    await sleep(POLL_MS);
  }
}
