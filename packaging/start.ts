/** Compiles the first instructions of the packaged Node (native/start.c) for a target. */
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.ts';
import type { Target } from './target.ts';

const NATIVE = join(import.meta.dirname, 'native');
const FLAGS = [
  '-Os',
  '-ffreestanding',
  '-fPIC',
  '-fvisibility=hidden',
  '-fno-stack-protector',
  '-fno-asynchronous-unwind-tables',
  // Loops must not become calls of the C library.
  '-fno-tree-loop-distribute-patterns',
  '-mgeneral-regs-only',
  '-Wall',
  '-Wextra',
  '-Werror',
];
const LINK = ['-nostdlib', '-static', '-Wl,-T,start.ld', '-Wl,--build-id=none'];

/** Resolves to the code as `startByOwnLoader` (elf.ts) takes it. */
export async function compileStart(target: Target, directory: string): Promise<Buffer> {
  mkdirSync(directory, { recursive: true });
  for (const file of ['start.c', 'start.ld']) cpSync(join(NATIVE, file), join(directory, file));
  const options = { cwd: directory, from: target.compilerPackage };
  const control = target.arch === 'x64' ? ['-fcf-protection=none'] : [];
  await run(
    `${target.gnu}-g++`,
    ['-x', 'c', ...FLAGS, ...control, ...LINK, '-o', 'start', 'start.c'],
    options,
  );
  await run(`${target.gnu}-objcopy`, ['-O', 'binary', '-j', '.start', 'start', 'start.bin'], options);
  return readFileSync(join(directory, 'start.bin'));
}
