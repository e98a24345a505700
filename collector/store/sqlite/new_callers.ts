/**
 * Sends the writer's thread only the descriptions that it does not have. They are larger than the calls, and most calls
 * are made by callers that have called before.
 */
import { DefinedCaller, type StoredCaller } from '../defined_caller.ts';
import type { BatchResult, StoredBatch } from '../store.ts';
import { type PackedBatches, pack } from './packed_batch.ts';
import type { PackedCaller } from './packed_callers.ts';
import type { WriteAnswer } from './thread_messages.ts';

type Write = (packed: PackedBatches) => Promise<WriteAnswer>;

/**
 * `write` sends a message to the thread, and resolves with its answer. The batches may be forgotten meanwhile: an
 * asynchronous function would keep them.
 */
export function writeWithNewCallers(batches: readonly StoredBatch[], write: Write): Promise<BatchResult[]> {
  return writePacked(
    pack(batches),
    batches.map(({ callers }) => callers),
    write,
  );
}

async function writePacked(
  { callers: described, ...packed }: PackedBatches,
  callersOfBatches: readonly StoredCaller[][],
  write: Write,
): Promise<BatchResult[]> {
  const callers = described.map(withoutKnownJson);
  let answer = await write({ ...packed, callers });
  while ('missing' in answer) {
    for (const index of answer.missing) callers[index] = withJson(described[index]!);
    answer = await write({ ...packed, callers });
  }
  for (const [index, { result }] of answer.results.entries()) {
    if (result === 'stored') noteStored(callersOfBatches[index]!);
  }
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

function noteStored(callers: readonly StoredCaller[]): void {
  for (const caller of callers) if (caller instanceof DefinedCaller) caller.isStored = true;
}
