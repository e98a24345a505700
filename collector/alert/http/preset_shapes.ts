/** Says which shapes the records of a preset's stream can have. Pure. */
import { type ShapeName, type StreamName, shapeName } from '../../contract/export.ts';
import type { Preset, RequestDefinition } from '../../contract/http_request.ts';
import { shapeOf } from '../../export/shapes.ts';

/** Returns the shapes that a destination can choose, that of the preset first. */
export function shapesOf({ request, streams }: Preset, stream: StreamName): ShapeName[] {
  const definition = { ...request, ...(stream === 'alerts' ? {} : streams[stream]) };
  const { shape: own = 'native' } = definition;
  const others = shapeName.options.filter((name) => {
    const chosen = { ...definition, shape: name };
    return name !== own && unusedShape(chosen) === null && shapeProblem(chosen, stream) === null;
  });
  return [own, ...others];
}

/**
 * Returns why the receiver would not take records of this shape, and what to do; null where it takes them. `definition`: the
 * whole request of a stream, with the parts that a destination replaces.
 */
export function shapeProblem(
  { shape = 'native', body = null, batch, answer }: RequestDefinition,
  stream: StreamName,
): string | null {
  const { streams } = shapeOf(shape);
  if (!streams.includes(stream)) {
    return `The stream ${stream} has no shape ${shape}, which is for ${streams.join(', ')}. Choose another.`;
  }
  if ((batch?.form.startsWith('otlp_') === true) !== (shape === 'otlp')) {
    return 'The shape otlp needs a batch.form of otlp_protobuf or otlp_json, and these forms need the shape otlp. Set both, or use the preset otlp.';
  }
  if (body === null && answer === 'elastic_bulk' && shape !== 'ecs') {
    return `A data stream of Elasticsearch refuses each record without "@timestamp", and the shape ${shape} has none. Choose the shape ecs, or give the destination a body with "@timestamp".`;
  }
  return null;
}

/** Returns why choosing a shape changes nothing that is sent, and what to do; null where it does. */
export function unusedShape({ body = null, shape }: RequestDefinition): string | null {
  if (body === null || shape === undefined || /\{\{[^}]*\bshape\b/.test(JSON.stringify(body))) return null;
  return `The body of this destination has fields of its own and no shape, so ${shape} would change nothing. Leave the shape out.`;
}
