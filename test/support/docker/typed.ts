/**
 * Holds documents against the types that a package makes from a published schema. Types know what validators of these schemas
 * let pass: a field that does not exist.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from './images.ts';

const run = promisify(execFile);

export interface TypedDocument {
  /** For messages. */
  name: string;
  /** Module and exported type, such as `kubernetes-models/apps/v1/DaemonSet` and `IDaemonSet`. */
  module: string;
  type: string;
  value: unknown;
}

export function hasPackage(name: string): boolean {
  return existsSync(join(ROOT, 'node_modules', name));
}

/** Messages of the compiler, each with the document that it is about; none when all documents are of their types. */
export async function typeErrors(documents: readonly TypedDocument[]): Promise<string[]> {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-typed-'));
  try {
    symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
    writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
    const files = documents.map(({ module, type, value }, index) => {
      const file = `document${index}.ts`;
      const source = `import type { ${type} } from '${module}';\nexport const value: ${type} = ${JSON.stringify(value, null, 1)};\n`;
      writeFileSync(join(directory, file), source);
      return file;
    });
    const options = ['--noEmit', '--skipLibCheck', '--strict', '--module', 'nodenext', '--target', 'esnext'];
    const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
    await run(process.execPath, [compiler, ...options, ...files], { cwd: directory });
    return [];
  } catch (error) {
    const { stdout } = error as { stdout?: string };
    if (!stdout) throw error;
    return stdout
      .split('\n')
      .filter((line) => line.includes('error TS'))
      .map((line) => line.replace(/^document(\d+)\.ts/, (_, index) => documents[Number(index)]!.name));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
