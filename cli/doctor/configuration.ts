/** Checks whether the configuration file is there and valid, and whether others can read the secret that it names. */
import { statSync } from 'node:fs';
import {
  AS_ROOT,
  type Check,
  type ConfigurationFile,
  type Finding,
  fail,
  isDenied,
  ok,
  skip,
  warn,
} from './check.ts';

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
    if (secret !== undefined) found.push(...tokenFile(secret));
    return found;
  },
};

function tokenFile(path: string): Finding[] {
  let mode: number | undefined;
  try {
    mode = statSync(path, { throwIfNoEntry: false })?.mode;
  } catch (error) {
    if (!isDenied(error)) throw error;
    return [skip(`the permissions of agent_token_file ${path}`, AS_ROOT)];
  }
  if (mode === undefined || (mode & OTHERS_MAY_READ) === 0) return [];
  return [
    warn(
      `everybody on this host can read agent_token_file ${path}`,
      `Remove that permission: chmod o= ${path}`,
    ),
  ];
}
