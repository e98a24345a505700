/** Starts a program, and waits for what it says or for its end. */
import { spawn } from 'node:child_process';

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface StartedProgram {
  ended: Promise<Ended>;
  /** Resolves when its standard error matches; rejects when it ends before that. */
  says(pattern: RegExp): Promise<void>;
  kill(): void;
}

export function startProgram([program, ...args]: readonly string[], env: NodeJS.ProcessEnv): StartedProgram {
  const child = spawn(program!, args, { env });
  const text = { stdout: '', stderr: '' };
  const waiting = new Set<() => void>();
  const changed = () => {
    for (const look of waiting) look();
  };
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text.stdout += part;
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    text.stderr += part;
    changed();
  });
  let isOver = false;
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => {
      isOver = true;
      changed();
      resolve({ code, ...text });
    });
  });
  return {
    ended,
    kill: () => child.kill('SIGKILL'),
    says: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (pattern.test(text.stderr)) resolve();
          else if (isOver) reject(new Error(`It ended and never said ${pattern}: ${text.stderr}`));
          else return;
          waiting.delete(look);
        };
        waiting.add(look);
        look();
      }),
  };
}
