/** Entry point of `imdswatch`: runs the named command and sets the exit code. */
import { OperatorError } from '../common/operator_error.ts';
import { VERSION } from '../common/version.ts';
import { commands } from './command_list.ts';
import { exitWith } from './exit.ts';

function usage(): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`);
  return `imdswatch finds which process on an EC2 host still calls IMDSv1.

Usage: imdswatch COMMAND [options]

${rows.join('\n')}

"imdswatch COMMAND --help" explains a command.
Exit codes: 0 success, 1 failure, 2 wrong usage or configuration, 3 missing permission, 4 scan has findings.
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
    // The launcher runs this as its last set-up step. Node caches the stripped sources, so that later starts
    // are faster.
    await Promise.all([...Object.values(commands).map(({ load }) => load()), import('./watch_process.ts')]);
    (await import('./commands/watch.ts')).warmCompileCache();
    return 0;
  }
  const command = commands[name];
  if (command === undefined) {
    throw new OperatorError(2, `There is no command "${name}". "imdswatch --help" lists the commands.`);
  }
  return (await command.load()).run(rest);
}

await exitWith(() => main(process.argv.slice(2)));
