/** The latest processes of a workload with their parents, as a tree. Equal branches are merged. */

import type { OffenderProcess } from '../../../collector/contract/offender.ts';
import { plural, shellLine } from '../format.ts';
import { RelativeTime } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import './process_tree.css';

interface Node {
  name: string;
  executable: string | null;
  args: string | null;
  /** The title that the process wrote over its arguments when it called last. */
  title: string | null;
  /** The workload's own processes that this node stands for. */
  callers: OffenderProcess[];
  children: Map<string, Node>;
}

const MAX_HOSTS_SHOWN = 3;

/** Builds the tree. Processes with equal name, executable and arguments become one node, on any host. */
export function buildTree(processes: readonly OffenderProcess[]): Node[] {
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
          title: step === process ? (process.title ?? null) : null,
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
      <Branches nodes={buildTree(processes)} />
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
            {node.title !== null && <span class="args">title: {node.title}</span>}
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
    <span class="location">
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
      <RelativeTime at={latest} />
      {guessed && <span title="Found in /proc and not reported by the kernel">probable</span>}
    </span>
  );
}
