/** Lists all commands. The usage text, manual pages and shell completion come from this list. */
export interface Command {
  run(argv: string[]): Promise<number>;
}

/** Each command has a file of its own, which is loaded only when the command runs. This saves memory. */
export const commands: Record<string, { summary: string; load: () => Promise<Command> }> = {
  up: { summary: 'Run agent and collector together on this machine', load: () => import('./commands/up.ts') },
  watch: {
    summary: 'Show the metadata calls of this host as they happen',
    load: () => import('./commands/watch.ts'),
  },
  read: { summary: 'Show the metadata calls in a capture file', load: () => import('./commands/read.ts') },
  calls: {
    summary: 'Print the single calls, also in the shapes of other systems',
    load: () => import('./commands/calls.ts'),
  },
  offenders: { summary: 'List the programs that call IMDSv1', load: () => import('./commands/offenders.ts') },
  triage: {
    summary: 'Set state, owner, ticket and notes of an offender',
    load: () => import('./commands/triage.ts'),
  },
  owners: {
    summary: 'Manage and test the rules that name owners of offenders',
    load: () => import('./commands/owners.ts'),
  },
  readiness: {
    summary: 'Show which hosts are proven safe for HttpTokens=required',
    load: () => import('./commands/readiness.ts'),
  },
  reconcile: {
    summary: "Compare the cloud's counts with the calls that were seen",
    load: () => import('./commands/reconcile.ts'),
  },
  cloud: {
    summary: 'Read the inventory and the counts of the cloud',
    load: () => import('./commands/cloud.ts'),
  },
  scan: {
    summary: 'Find code, images and dependencies that allow or make IMDSv1 calls',
    load: () => import('./commands/scan.ts'),
  },
  enforce: {
    summary: 'Require tokens on instances, guarded, with a way back',
    load: () => import('./commands/enforce.ts'),
  },
  agent: { summary: 'Watch this host and report to a collector', load: () => import('./commands/agent.ts') },
  collector: {
    summary: 'Receive and store the reports of agents',
    load: () => import('./commands/collector.ts'),
  },
  token: { summary: 'Manage access to the collector', load: () => import('./commands/token.ts') },
  alert: { summary: 'Manage and test alert destinations', load: () => import('./commands/alert.ts') },
  doctor: {
    summary: 'Check what works on this host',
    load: () => import('./commands/doctor.ts'),
  },
  store: {
    summary: "Update, copy and check the collector's store",
    load: () => import('./commands/store.ts'),
  },
  backup: {
    summary: "Copy the collector's databases while it runs",
    load: () => import('./commands/backup.ts'),
  },
  restore: {
    summary: "Replace the collector's databases by a backup",
    load: () => import('./commands/restore.ts'),
  },
  demo: {
    summary: 'Build a lab with real clients and show the findings',
    load: () => import('./commands/demo.ts'),
  },
};
