/** Every command there is: usage, manual pages and completion come from here. */
export interface Command {
  run(argv: string[]): Promise<number>;
}

/** One file a command; loaded only when it is asked for, so that a command carries no other command's memory. */
export const commands: Record<string, { summary: string; load: () => Promise<Command> }> = {
  up: { summary: 'Run agent and collector together on this machine', load: () => import('./commands/up.ts') },
  watch: {
    summary: 'Show metadata calls of this host as they happen',
    load: () => import('./commands/watch.ts'),
  },
  read: { summary: 'Show the metadata calls in a capture file', load: () => import('./commands/read.ts') },
  offenders: { summary: 'List who calls IMDSv1, worst first', load: () => import('./commands/offenders.ts') },
  readiness: {
    summary: 'Say which hosts are proven safe for HttpTokens=required',
    load: () => import('./commands/readiness.ts'),
  },
  reconcile: {
    summary: "Hold the cloud's own counts against what was seen",
    load: () => import('./commands/reconcile.ts'),
  },
  agent: { summary: 'Watch this host and report to a collector', load: () => import('./commands/agent.ts') },
  collector: {
    summary: 'Receive and store what agents report',
    load: () => import('./commands/collector.ts'),
  },
  token: { summary: 'Manage who may use the collector', load: () => import('./commands/token.ts') },
  alert: { summary: 'Manage where alerts go, and try it', load: () => import('./commands/alert.ts') },
  doctor: {
    summary: 'Say what works on this host, and what to do about the rest',
    load: () => import('./commands/doctor.ts'),
  },
  backup: {
    summary: "Copy the collector's databases while it runs",
    load: () => import('./commands/backup.ts'),
  },
  restore: { summary: 'Put a backup in place of them', load: () => import('./commands/restore.ts') },
  demo: {
    summary: 'Build a lab with real clients and show what is found',
    load: () => import('./commands/demo.ts'),
  },
};
