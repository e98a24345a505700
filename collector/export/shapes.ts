/** The list of shapes. */
import type { ShapeName } from '../contract/export.ts';
import { native } from './native.ts';
import { otlp } from './otlp.ts';
import type { Shape } from './shape.ts';

const SHAPES: { readonly [name in ShapeName]?: Shape } = { native, otlp };

export function shapeOf(name: ShapeName): Shape {
  const shape = SHAPES[name];
  if (shape === undefined) throw new Error(`The shape ${name} does not exist.`);
  return shape;
}
