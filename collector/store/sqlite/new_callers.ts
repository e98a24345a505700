/**
 * Sends the writer's thread only the descriptions that it does not have. They are larger than the calls, and most calls
 * are made by callers that have called before.
 */
import { DefinedCaller } from '../defined_caller.ts';
import type { BatchResult, StoredBatch } from '../store.ts';
import { type PackedBatches, pack } from './packed_batch.ts';
import type { PackedCaller } from './packed_callers.ts';
import type { WriteAnswer } from './thread_messages.ts';

/** `write` sends a message to the thread, and resolves with its answer. */
export async function writeWithNewCallers(
  batches: StoredBatch[],
  write: (packed: PackedBatches) => Promise<WriteAnswer>,
): Promise<BatchResult[]> {
  const { callers: described, ...packed } = pack(batches);
  const callers = described.map(withoutKnownJson);
  let answer = await write({ ...packed, callers });
  while ('missing' in answer) {
    for (const index of answer.missing) callers[index] = withJson(described[index]!);
    answer = await write({ ...packed, callers });
  }
  noteStored(batches, answer.results);
  return answer.results;
}

function withoutKnownJson(caller: PackedCaller): PackedCaller {
  const isKnown = caller instanceof DefinedCaller && caller.isStored && caller.key !== null;
  return isKnown ? { json: null, key: caller.key } : withJson(caller);
}

/** Returns an object that another thread can receive. */
function withJson({ json, key }: PackedCaller): PackedCaller {
  return { json, key };
}

function noteStored(batches: readonly StoredBatch[], results: readonly BatchResult[]): void {
  for (const [index, { result }] of results.entries()) {
    if (result !== 'stored') continue;
    for (const caller of batches[index]!.callers) {
      if (caller instanceof DefinedCaller) caller.isStored = true;
    }
  }
}
