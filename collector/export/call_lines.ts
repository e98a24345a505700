/** Calls as lines of a text in the shape of another system, for exports and files. */
import type { ServedCall } from '../contract/served_call.ts';
import type { JsonObject } from './json.ts';
import { otlpJsonLine } from './otlp_request.ts';
import { shapeOf } from './shapes.ts';

/** Log records in one line of OTLP. A line stays far below the 4 MB that receivers take. */
const OTLP_RECORDS = 100;

/** A call, with the time at which the collector stored it where that is known. */
type Stored = ServedCall & { stored?: string };
type LinesOf = (calls: readonly Stored[]) => Iterable<string>;

/** Returns null where the name is none of a shape for lines. Each line ends with a line feed. */
export function shapedCallLines(name: string | undefined): LinesOf | null {
  switch (name) {
    case 'otlp':
      return otlpLines;
    case 'ocsf':
    case 'ecs':
      return (calls) => Array.from(valuesOf(name, calls), (value) => `${JSON.stringify(value)}\n`);
    default:
      return null;
  }
}

function* otlpLines(calls: readonly Stored[]): Generator<string> {
  for (let at = 0; at < calls.length; at += OTLP_RECORDS) {
    const values = [...valuesOf('otlp', calls.slice(at, at + OTLP_RECORDS))];
    yield `${otlpJsonLine(values)}\n`;
  }
}

function* valuesOf(name: 'otlp' | 'ocsf' | 'ecs', calls: readonly Stored[]): Generator<JsonObject> {
  const shape = shapeOf(name);
  for (const { stored, ...call } of calls) {
    yield* shape.toValues({ stream: 'calls', call, stored: stored ?? null });
  }
}
