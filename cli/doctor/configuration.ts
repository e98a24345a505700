/** Whether the configuration file is there and valid, and whether others can read the secret that it names. */
import { statSync } from 'node:fs';
import { type Check, type ConfigurationFile, type Finding, fail, ok, warn } from './check.ts';

const OTHERS_MAY_READ = 0o004;

interface Configured {
  configuration: ConfigurationFile;
  settings: { agent_token_file?: string | undefined };
}

export const configuration: Check<Configured> = {
  name: 'configuration',
  applies: () => true,
  examine({ configuration: { file, problem }, settings }) {
    const found: Finding[] = [];
    if (problem !== null) {
      found.push(
        fail(problem, 'Correct it: nothing starts with it, and the rest here is examined without it.'),
      );
    } else {
      found.push(ok(file === null ? 'no file; flags, environment and defaults' : `${file} is valid`));
    }
    const secret = settings.agent_token_file;
    const mode = secret === undefined ? undefined : statSync(secret, { throwIfNoEntry: false })?.mode;
    if (mode !== undefined && (mode & OTHERS_MAY_READ) !== 0) {
      found.push(
        warn(
          `everybody on this host can read agent_token_file ${secret}`,
          `Take that away: chmod o= ${secret}`,
        ),
      );
    }
    return found;
  },
};
