/** Sentences about what to fix first, the same on the page and in the command. */
import type { FixFirst } from './fix_first.ts';

const number = (count: number) => count.toLocaleString('en-US');
const hosts = (count: number) => `${number(count)} held ${count === 1 ? 'host' : 'hosts'}`;

export function fixFirstSummary({ held_hosts, held_groups, waiting_hosts, fixes }: FixFirst): string {
  const last = fixes.at(-1);
  if (held_hosts === 0) return 'No host is held by IMDSv1 calls.';
  if (last === undefined) {
    return held_hosts === waiting_hosts
      ? `All callers of the ${hosts(held_hosts)} are marked as fixed. The hosts become ready when the window has passed.`
      : `No few fixes free one of the ${hosts(held_hosts)}: each has too many callers, or one that cannot be fixed. Begin with the worst.`;
  }
  const what = fixes.length === 1 ? 'Fix this one' : `Fix these ${fixes.length}`;
  const freed = `${number(last.freed)} of ${hosts(held_hosts)} (blocked or fallback) ${last.freed === 1 ? 'has' : 'have'} no IMDSv1 caller left`;
  const groups =
    held_groups === 0
      ? ''
      : ` That frees ${number(last.freed_groups)} of ${number(held_groups)} ${held_groups === 1 ? 'group' : 'groups'}.`;
  const watched =
    last.freed_watched === last.freed
      ? `${last.freed === 1 ? 'It becomes' : 'They become'} ready when the window has passed.`
      : last.freed_watched === 0
        ? `${last.freed === 1 ? 'It was' : 'They were'} not watched all the time: ready takes a whole watched window.`
        : `${number(last.freed_watched)} of them ${last.freed_watched === 1 ? 'was' : 'were'} watched all the time and ${last.freed_watched === 1 ? 'becomes' : 'become'} ready when the window has passed; the others are not proven.`;
  return `${what}, and ${freed}. ${watched}${groups}`;
}

/** Says which hosts no fix in the list can free. Empty where there are none. */
export function notFreed({
  waiting_hosts,
  excepted_hosts,
  unidentified_hosts,
  held_groups,
  agentless_groups,
}: FixFirst): string[] {
  return [
    ...(waiting_hosts === 0
      ? []
      : [
          `On ${hosts(waiting_hosts)} every caller is marked as fixed: ${waiting_hosts === 1 ? 'it waits' : 'they wait'} for the window to pass.`,
        ]),
    ...(excepted_hosts === 0 ? [] : [`${hosts(excepted_hosts)} cannot be freed before an exception ends.`]),
    ...(unidentified_hosts === 0
      ? []
      : [`On ${hosts(unidentified_hosts)} a caller is not identified. Find its program first.`]),
    ...(agentless_groups === 0
      ? []
      : [
          `${number(agentless_groups)} of ${number(held_groups)} held ${held_groups === 1 ? 'group' : 'groups'} ${agentless_groups === 1 ? 'has' : 'have'} instances without an agent. No fix frees ${agentless_groups === 1 ? 'it' : 'them'} before these report.`,
        ]),
  ];
}
