/** Entry of the `imdswatch` command: finds the command's file, runs it, turns its end into an exit code. */
import { OperatorError } from '../protocol/operator_error.ts';
import { VERSION } from '../protocol/version.ts';
import { exitWith } from './exit.ts';

interface Command {
  run(argv: string[]): Promise<number>;
}

/** One file a command; loaded only when it is asked for, so that a command carries no other command's memory. */
const commands: Record<string, { summary: string; load: () => Promise<Command> }> = {
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
  backup: { summary: "Copy the collector's databases while it runs", load: () => import('./backup.ts') },
  restore: { summary: 'Put a backup in place of them', load: () => import('./restore.ts') },
  demo: { summary: 'Build a lab with real clients and show what is found', load: () => import('./demo.ts') },
};

function usage(): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`);
  return `imdswatch finds which process on an EC2 host still calls IMDSv1.

Usage: imdswatch COMMAND [options]

${rows.join('\n')}

"imdswatch COMMAND --help" explains a command. Exit codes: 0 done, 1 failed, 2 bad usage or
configuration, 3 not permitted.
`;
}

async function main(argv: string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    (name === undefined ? process.stderr : process.stdout).write(usage());
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === 'version') {
    process.stdout.write(`imdswatch ${VERSION}\n`);
    return 0;
  }
  if (name === '--warm-compile-cache') {
    // The launcher's last set-up step: Node keeps the stripped sources, and later starts need no type stripping.
    await Promise.all([...Object.values(commands).map(({ load }) => load()), import('./watching.ts')]);
    (await import('./watch.ts')).warmCompileCache();
    return 0;
  }
  const command = commands[name];
  if (command === undefined) {
    throw new OperatorError(2, `There is no command "${name}". "imdswatch --help" lists the commands.`);
  }
  return (await command.load()).run(rest);
}

await exitWith(() => main(process.argv.slice(2)));
