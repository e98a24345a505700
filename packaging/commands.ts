/** Reads the help of every command, for manual pages, completion and the files in /etc. */
import { commands } from '../cli/command_list.ts';
import { type CommandDescription, HelpRequested } from '../cli/settings/help_requested.ts';

export interface DescribedCommand {
  name: string;
  /** A short description without a full stop. */
  summary: string;
  described: CommandDescription;
  /** Each verb of a command such as `token`. */
  verbs: CommandDescription[];
}

/** Asks each command for its help. No other part of it runs. */
export async function describeCommands(): Promise<DescribedCommand[]> {
  const found: DescribedCommand[] = [];
  for (const [name, { summary, load }] of Object.entries(commands)) {
    const { run } = await load();
    const described = await helpOf(name, () => run(['--help']));
    const verbs: CommandDescription[] = [];
    for (const verb of described.verbs)
      verbs.push(await helpOf(`${name} ${verb}`, () => run([verb, '--help'])));
    found.push({ name, summary, described, verbs });
  }
  return found;
}

async function helpOf(words: string, run: () => Promise<number>): Promise<CommandDescription> {
  try {
    await run();
  } catch (error) {
    if (error instanceof HelpRequested) return error.described;
    throw error;
  }
  throw new Error(`imdswatch ${words} --help described nothing`);
}
