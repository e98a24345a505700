/** Lists the readers, and says which of them read a file. */
import { basename } from 'node:path/posix';
import { ansible } from './ansible/reader.ts';
import { callersReader } from './callers/reader.ts';
import { cloudformation } from './cloudformation/reader.ts';
import { kubernetes } from './kubernetes/reader.ts';
import { manifestsReader } from './manifests/reader.ts';
import { packer, packerJson } from './packer/reader.ts';
import { pulumi } from './pulumi/reader.ts';
import type { Candidate, Reader } from './reader.ts';
import { SourceFile } from './source_file.ts';
import { terraformPlan } from './terraform/plan_reader.ts';
import { terraform } from './terraform/reader.ts';

/** Each file goes to every reader that takes it: user data in a Terraform file also asks the address. */
export const READERS: readonly Reader[] = [
  terraform,
  cloudformation,
  kubernetes,
  packer,
  packerJson,
  ansible,
  pulumi,
  terraformPlan,
  // Scripts, sources and dependencies.
  callersReader,
  manifestsReader,
];

/** Bytes at a file's begin in which a NUL byte makes it binary. */
export const BINARY_SAMPLE = 8192;

/** Returns the file as a candidate; null for a binary file. */
export function candidate(path: string, bytes: Uint8Array): Candidate | null {
  if (bytes.subarray(0, BINARY_SAMPLE).includes(0)) return null;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let source: SourceFile | null = null;
  return {
    path,
    name: basename(path),
    bytes,
    contains: (text) => buffer.includes(text, 0, 'latin1'),
    source: () => {
      source ??= new SourceFile(path, bytes);
      return source;
    },
  };
}
