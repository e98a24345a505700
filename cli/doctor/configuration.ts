/** Checks that the configuration file is valid, and that other users cannot read its token file. */
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
  run({ configuration: { file, problem }, settings }) {
    const findings: Finding[] = [];
    if (problem !== null) {
      findings.push(
        fail(
          problem,
          'Correct it: the service does not start with this file. The other checks run without it.',
        ),
      );
    } else {
      findings.push(
        ok(
          file === null
            ? 'no configuration file; flags, environment and defaults are used'
            : `${file} is valid`,
        ),
      );
    }
    const secret = settings.agent_token_file;
    if (secret !== undefined) findings.push(...tokenFile(secret));
    return findings;
  },
};

function tokenFile(path: string): Finding[] {
  let mode: number | undefined;
  try {
    mode = statSync(path, { throwIfNoEntry: false })?.mode;
  } catch (error) {
    if (!isDenied(error)) throw error;
    return [skip(`the permissions of agent_token_file ${path} need root to be read`, AS_ROOT)];
  }
  if (mode === undefined || (mode & OTHERS_MAY_READ) === 0) return [];
  return [
    warn(
      `every user of this host can read agent_token_file ${path}`,
      `Remove that permission: chmod o= ${path}`,
    ),
  ];
}
