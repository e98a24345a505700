/** Runs the commands that only read, on the store itself and by the API of a collector, as a table and as JSON. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Side, TOKENS } from './both_stores.ts';

type Command = (argv: string[]) => Promise<number>;
interface Question {
  command: string;
  args: readonly string[];
  /** The command has no option `--collector`: it is about the store of this machine. */
  isLocal?: boolean;
  /** The command prints JSON always, and has no option for it. */
  isJson?: boolean;
}

const QUESTIONS: readonly Question[] = [
  { command: 'offenders', args: ['--all'] },
  { command: 'offenders', args: ['--since', '30h'] },
  { command: 'offenders', args: ['--fix-first'] },
  { command: 'offenders', args: ['--burn-down'] },
  { command: 'readiness', args: [] },
  { command: 'readiness', args: ['--host', 'i-Apple'] },
  ...['asg', 'image', 'tag:team'].map((by) => ({ command: 'readiness', args: ['--group-by', by] })),
  ...['asg:group-Apple', 'template:lt-1'].map((group) => ({
    command: 'readiness',
    args: ['--group', group],
  })),
  ...['native', 'otlp', 'ocsf', 'ecs'].map((shape) => ({
    ...{ command: 'calls', args: ['--since', '30h', '--format', shape], isJson: true },
  })),
  { command: 'calls', args: ['--since', 'all', '--imds-version', '2'], isJson: true },
  { command: 'token', args: ['list'], isLocal: true },
  { command: 'alert', args: ['list'], isLocal: true },
];

/** Returns what each command wrote, by its command line without the address of the store. */
export async function answersOfCommands({ collector, storeArgs }: Side): Promise<Map<string, string>> {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-commands-'));
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, TOKENS[0]!);
  // A file of its own, so that the configuration of this machine counts for nothing.
  const empty = join(directory, 'collector.yaml');
  writeFileSync(empty, '{}\n');
  const ways = {
    'on the store': storeArgs,
    'by --collector': [
      ...['--config', empty, '--collector', collector.pageUrl, '--collector-token-file', tokenFile],
    ],
  };
  const answers = new Map<string, string>();
  try {
    for (const { command, args, isLocal, isJson } of QUESTIONS) {
      const { run } = (await import(`../../../../cli/commands/${command}.ts`)) as { run: Command };
      for (const [way, more] of Object.entries(ways)) {
        if (isLocal && way !== 'on the store') continue;
        for (const format of isJson ? [[]] : [[], ['--json']]) {
          const name = [command, ...args, ...format, way].join(' ');
          answers.set(name, await writtenBy(() => run([...args, ...format, ...more])));
        }
      }
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return answers;
}

/** Returns the exit code of a command and what it wrote to its standard output. */
async function writtenBy(command: () => Promise<number>): Promise<string> {
  const write = process.stdout.write;
  const chunks: string[] = [];
  process.stdout.write = ((chunk: string | Uint8Array) => {
    chunks.push(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8'));
    return true;
  }) as typeof process.stdout.write;
  try {
    const status = await command();
    return `${status}\n${chunks.join('')}`;
  } finally {
    process.stdout.write = write;
  }
}
