/**
 * A thread of the store. Its `workerData` names its role and the directory. The writer has the only
 * connection that changes anything. The reader answers questions on a connection of its own. Neither waits
 * for the other.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { CloudCount, CloudInstance, CloudInventory, HeardHost, Retention } from '../store.ts';
import { openForReading, openForWriting } from './database.ts';
import { FindingsReader } from './findings_reader.ts';
import { FINDINGS } from './findings_schema.ts';
import { FindingsWriter } from './findings_writer.ts';
import type { PackedBatches } from './packed_batch.ts';
import { retain } from './retention.ts';
import {
  type Answer,
  encodeError,
  type Question,
  type ThreadData,
  type WriteAnswer,
} from './thread_messages.ts';

type Methods = Record<string, (...args: never[]) => unknown>;

function writerMethods(dataDir: string, helperPrograms: readonly string[]): Methods {
  const database = openForWriting(dataDir, FINDINGS);
  const writer = new FindingsWriter(database, undefined, helperPrograms);
  let retaining: Promise<unknown> = Promise.resolve();
  return {
    lastSeq: (stream: string, hostId: string) => writer.lastSeq(stream, hostId),
    write: (batches: PackedBatches): WriteAnswer => {
      const missing = writer.missingCallers(batches);
      return missing.length > 0 ? { missing } : { results: writer.write(batches) };
    },
    heartbeats: (heard: HeardHost[]) => writer.heartbeats(heard),
    putCloudCounts: (counts: CloudCount[]) => writer.putCloudCounts(counts),
    putCloudInstances: (instances: CloudInstance[]) => writer.putCloudInstances(instances),
    putCloudInventory: (inventory: CloudInventory) => writer.putCloudInventory(inventory),
    noteArrivals: (nowUs: number) => writer.noteArrivals(nowUs),
    followArrivals: (nowUs: number) => writer.followArrivals(nowUs),
    endArrivals: (unlessFollowedUs: number) => writer.endArrivals(unlessFollowedUs),
    forgetArrivals: (upTo: number) => writer.forgetArrivals(upTo),
    retain: (retention: Retention, nowUs: number) => {
      const result = retaining.then(() => retain(database, writer, retention, nowUs));
      retaining = result.catch(() => null);
      return result;
    },
    close: async () => {
      await retaining;
      database.close();
    },
  };
}

function readerMethods(dataDir: string): Methods {
  const reader = new FindingsReader(openForReading(dataDir, FINDINGS));
  return reader as unknown as Methods;
}

const { role, dataDir, helperPrograms } = workerData as ThreadData;
const port = parentPort!;
const methods = role === 'writer' ? writerMethods(dataDir, helperPrograms) : readerMethods(dataDir);

port.on('message', async ({ id, method, args }: Question) => {
  let answer: Answer;
  try {
    answer = { id, value: await methods[method]!(...(args as never[])) };
  } catch (error) {
    answer = { id, error: encodeError(error) };
  }
  port.postMessage(answer);
  if (method === 'close') port.close();
});
