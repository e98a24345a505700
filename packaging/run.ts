/** Runs the programs of a build. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { OperatorError } from '../common/operator_error.ts';

const WORDS_KEPT_CHARS = 4000;

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Debian's package of the program, for the message if it is missing. */
  from?: string;
}

/**
 * Runs a program and resolves to its standard output. Throws OperatorError: (1) with the end of its output if
 * it fails, (3) if it is not installed.
 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const child: ChildProcess = spawn(program, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let words = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-WORDS_KEPT_CHARS);
  });
  const [code, signal] = await once(child, 'close').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    const remedy = options.from === undefined ? '' : ` Install ${options.from}.`;
    throw new OperatorError(3, `The program ${program} is missing, which makes packages.${remedy}`);
  });
  if (code === 0) return output;
  const said = `${words}${output.slice(-WORDS_KEPT_CHARS)}`.trim();
  throw new OperatorError(1, `${program} ${args[0] ?? ''} failed (${signal ?? `status ${code}`}):\n${said}`);
}
