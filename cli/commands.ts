/** Every command there is: usage, manual pages and completion come from here. */
export interface Command {
  run(argv: string[]): Promise<number>;
}

/** One file a command; loaded only when it is asked for, so that a command carries no other command's memory. */
export const commands: Record<string, { summary: string; load: () => Promise<Command> }> = {
  up: { summary: 'Run agent and collector together on this machine', load: () => import('./up.ts') },
  watch: { summary: 'Show metadata calls of this host as they happen', load: () => import('./watch.ts') },
  read: { summary: 'Show the metadata calls in a capture file', load: () => import('./read.ts') },
  offenders: { summary: 'List who calls IMDSv1, worst first', load: () => import('./offenders.ts') },
  readiness: {
    summary: 'Say which hosts are proven safe for HttpTokens=required',
    load: () => import('./readiness.ts'),
  },
  reconcile: {
    summary: "Hold the cloud's own counts against what was seen",
    load: () => import('./reconcile.ts'),
  },
  agent: { summary: 'Watch this host and report to a collector', load: () => import('./agent.ts') },
  collector: { summary: 'Receive and store what agents report', load: () => import('./collector.ts') },
  token: { summary: 'Manage who may use the collector', load: () => import('./token.ts') },
  alert: { summary: 'Manage where alerts go, and try it', load: () => import('./alert.ts') },
  doctor: {
    summary: 'Say what works on this host, and what to do about the rest',
    load: () => import('./doctor.ts'),
  },
  backup: { summary: "Copy the collector's databases while it runs", load: () => import('./backup.ts') },
  restore: { summary: 'Put a backup in place of them', load: () => import('./restore.ts') },
  demo: { summary: 'Build a lab with real clients and show what is found', load: () => import('./demo.ts') },
};
