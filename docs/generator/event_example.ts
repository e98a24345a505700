/** Reads the example of the event reference, which is a captured call. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Call, call } from '../../protocol/call.ts';

/** Returns the example. Throws if it is not one valid call. */
export function exampleCall(): Call {
  const reference = readFileSync(join(import.meta.dirname, '../events.md'), 'utf8');
  const [, line] = /```json\n(.*)\n```/.exec(reference) ?? [];
  return call.parse(JSON.parse(line ?? 'null'));
}
