/**
 * Measures how many calls a second one core makes into each shape, by processor time: other work on the machine then counts less.
 * OTLP is measured with its encoding and gzip, as a destination sends it.
 */
import { gzipSync } from 'node:zlib';
import { v7 as uuidv7 } from 'uuid';
import type { ShapeName } from '../../collector/contract/export.ts';
import type { ServedCall } from '../../collector/contract/served_call.ts';
import { shapedCallLines } from '../../collector/export/call_lines.ts';
import { encodeOtlp } from '../../collector/export/otlp_request.ts';
import { shapeOf } from '../../collector/export/shapes.ts';
import { callerOf, hostOf, v1Call, workloadOf } from './fleet.ts';
import { Random } from './random.ts';

export interface ShapeResult {
  name: string;
  /** Calls that one core makes in a second. */
  calls_per_core_second: number;
  bytes_per_call: number;
}

/** Calls of one request, and hosts that they are of. */
const CALLS = 500;
const HOSTS = 50;
const TIME = '2026-11-22T00:00:00.000000Z';

type Encode = (calls: readonly ServedCall[]) => Promise<number> | number;

const MEASURED: readonly (readonly [name: string, encode: Encode])[] = [
  ['native, NDJSON', (calls) => bytesOf(linesOf('native', calls))],
  ['otlp, JSON', (calls) => bytesOf([...shapedCallLines('otlp')!(calls)])],
  ['otlp, protobuf', async (calls) => (await protobufOf(calls)).length],
  ['otlp, protobuf with gzip', async (calls) => gzipSync(await protobufOf(calls)).length],
  ['ocsf, NDJSON', (calls) => bytesOf([...shapedCallLines('ocsf')!(calls)])],
  ['ecs, NDJSON', (calls) => bytesOf([...shapedCallLines('ecs')!(calls)])],
];

/** `forMs`: how long each shape is measured. */
export async function measureShapes(forMs: number): Promise<ShapeResult[]> {
  const calls = someCalls();
  const results: ShapeResult[] = [];
  for (const [name, encode] of MEASURED) {
    await repeat(encode, calls, forMs / 4);
    const { seconds, rounds, bytes } = await repeat(encode, calls, forMs);
    results.push({ name, calls_per_core_second: (rounds * CALLS) / seconds, bytes_per_call: bytes / CALLS });
  }
  return results;
}

/** Seconds of the processor; at least one round is made. */
async function repeat(encode: Encode, calls: readonly ServedCall[], forMs: number) {
  const before = process.cpuUsage();
  let used = 0;
  let rounds = 0;
  let bytes = 0;
  do {
    bytes = await encode(calls);
    rounds += 1;
    const { user, system } = process.cpuUsage(before);
    used = user + system;
  } while (used < forMs * 1000);
  return { seconds: used / 1e6, rounds, bytes };
}

function someCalls(): ServedCall[] {
  const random = new Random(1);
  return Array.from({ length: CALLS }, (_, number): ServedCall => {
    const workload = workloadOf('service', number % 20);
    return {
      ...v1Call(uuidv7(), TIME, workload, random),
      ...callerOf(workload, 1000 + number, TIME, random),
      host: hostOf(number % HOSTS),
      offender: '0123456789abcdef',
    } as ServedCall;
  });
}

function protobufOf(calls: readonly ServedCall[]): Promise<Uint8Array> {
  return encodeOtlp(valuesOf('otlp', calls), 'protobuf');
}

function linesOf(name: ShapeName, calls: readonly ServedCall[]): string[] {
  return valuesOf(name, calls).map((value) => `${JSON.stringify(value)}\n`);
}

function valuesOf(name: ShapeName, calls: readonly ServedCall[]) {
  return calls.flatMap((call) => shapeOf(name).toValues({ stream: 'calls', call }));
}

function bytesOf(lines: readonly string[]): number {
  return lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0);
}
