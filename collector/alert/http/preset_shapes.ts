/** Says which shapes the records of a preset's stream can have. Pure. */
import { type ShapeName, type StreamName, shapeName } from '../../contract/export.ts';
import type { Preset, RequestDefinition } from '../../contract/http_request.ts';
import { shapeOf } from '../../export/shapes.ts';

/** Returns the shapes that a destination can choose, that of the preset first. */
export function shapesOf({ request, streams }: Preset, stream: StreamName): ShapeName[] {
  const definition = { ...request, ...(stream === 'alerts' ? {} : streams[stream]) };
  const { shape: own = 'native' } = definition;
  const others = shapeName.options.filter((name) => name !== own && isPossible(definition, name, stream));
  return [own, ...others];
}

function isPossible(definition: RequestDefinition, shape: ShapeName, stream: StreamName): boolean {
  const { body = null, batch, answer } = definition;
  if (!shapeOf(shape).streams.includes(stream)) return false;
  // A body that is not made of the shape does not change with it.
  if (body !== null && !/\{\{[^}]*\bshape\b/.test(JSON.stringify(body))) return false;
  // A data stream refuses documents without `@timestamp`, which this shape alone has.
  if (body === null && answer === 'elastic_bulk') return shape === 'ecs';
  return (shape === 'otlp') === (batch?.form.startsWith('otlp_') === true);
}
