/** The parents of a workload's latest processes, drawn from the first process down; equal branches are one. */

import type { OffenderProcess } from '../../../collector/contract/offender.ts';
import { plural, shellLine } from '../format.ts';
import { Ago } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import './process_tree.css';

interface Node {
  name: string;
  executable: string | null;
  args: string | null;
  /** Processes of the workload itself that are this node. */
  callers: OffenderProcess[];
  children: Map<string, Node>;
}

const MAX_HOSTS_SHOWN = 3;

/** Nodes are the same where name, executable and arguments are, whatever their number and host. */
export function treeOf(processes: readonly OffenderProcess[]): Node[] {
  const roots = new Map<string, Node>();
  for (const caller of processes) {
    const { process } = caller;
    if (process === null) continue;
    const chain = [process, ...process.ancestors].reverse();
    let level = roots;
    for (const step of chain) {
      const args = step.command_args === null ? null : shellLine(step.command_args);
      const key = JSON.stringify([step.name, step['executable.path'], args]);
      let node = level.get(key);
      if (node === undefined) {
        node = {
          name: step.name,
          executable: step['executable.path'],
          args,
          callers: [],
          children: new Map(),
        };
        level.set(key, node);
      }
      if (step === process) node.callers.push(caller);
      level = node.children;
    }
  }
  return [...roots.values()];
}

export function ProcessTree({ processes }: { processes: readonly OffenderProcess[] }) {
  return (
    <div class="tree" tabIndex={0} role="group" aria-label="Process tree">
      <Branches nodes={treeOf(processes)} />
    </div>
  );
}

function Branches({ nodes }: { nodes: Node[] }) {
  return (
    <ul>
      {nodes.map((node) => (
        <li key={`${node.name} ${node.executable} ${node.args}`}>
          <div class={`process${node.callers.length > 0 ? ' caller' : ''}`}>
            <code class="name">{node.name}</code>
            <code class="args" title={node.executable ?? undefined}>
              {node.args ?? node.executable ?? 'the process ended before its arguments were read'}
            </code>
            {node.callers.length > 0 && <Callers callers={node.callers} />}
          </div>
          {node.children.size > 0 && <Branches nodes={[...node.children.values()]} />}
        </li>
      ))}
    </ul>
  );
}

function Callers({ callers }: { callers: OffenderProcess[] }) {
  const hosts = new Map(callers.map(({ host }) => [host.id, host]));
  const shown = [...hosts.values()].slice(0, MAX_HOSTS_SHOWN);
  const latest = callers
    .map(({ last_seen }) => last_seen)
    .sort()
    .at(-1);
  const guessed = callers.some((caller) => caller['attribution.confidence'] !== 'exact');
  return (
    <span class="where">
      <span>
        {callers.length === 1
          ? `pid ${callers[0]!.process!.pid}`
          : plural(callers.length, 'process', 'processes')}{' '}
        on{' '}
        {shown.map((host, index) => (
          <span key={host.id}>
            {index > 0 && ', '}
            <a href={`/hosts/${urlPart(host.id)}`}>{host.name}</a>
          </span>
        ))}
        {hosts.size > shown.length && ` and ${plural(hosts.size - shown.length, 'other host')}`}
      </span>
      <Ago at={latest} />
      {guessed && <span title="Found in /proc and not reported by the kernel">probable</span>}
    </span>
  );
}
