/** The list of shapes. */
import type { ShapeName } from '../contract/export.ts';
import { asff } from './asff.ts';
import { ecs } from './ecs.ts';
import { native } from './native.ts';
import { ocsf } from './ocsf.ts';
import { otlp } from './otlp.ts';
import type { Shape } from './shape.ts';

const SHAPES: Readonly<Record<ShapeName, Shape>> = { native, otlp, ocsf, ecs, asff };

export function shapeOf(name: ShapeName): Shape {
  return SHAPES[name];
}
