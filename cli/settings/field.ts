/** Reads facts about a setting from its zod schema: its type, choices, range, default and metadata. */
import type * as z from 'zod';
import type { OptionDescription } from './help_requested.ts';

export type ValueKind = 'boolean' | 'number' | 'array' | 'string';

export type Field = z.ZodType & {
  def: {
    type: string;
    innerType?: Field;
    in?: Field;
    element?: Field;
    entries?: Record<string, string | number>;
    defaultValue?: unknown;
  };
  minValue?: number | null;
  maxValue?: number | null;
};

/**
 * Converts the text of a flag or of the environment. A text that does not fit stays a text, and the schema
 * refuses it.
 */
export function fromText(text: string, kind: ValueKind): unknown {
  switch (kind) {
    case 'boolean':
      if (/^(1|true|yes|on)$/i.test(text)) return true;
      if (/^(0|false|no|off)$/i.test(text)) return false;
      return text;
    case 'number':
      return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);
    case 'array':
      return text.split(',').map((item) => item.trim());
    case 'string':
      return text;
  }
}

export function valueKind(field: Field): ValueKind {
  const { type } = innermost(field).def;
  return type === 'boolean' || type === 'number' || type === 'array' ? type : 'string';
}

function innermost(field: Field): Field {
  const inner = field.def.innerType ?? field.def.in;
  return inner === undefined ? field : innermost(inner);
}

/** Returns the allowed values; for an array, those of its elements. */
export function choicesOf(field: Field): readonly string[] {
  const { def } = innermost(field);
  if (def.type === 'enum') return Object.values(def.entries ?? {}).map(String);
  return def.type === 'array' && def.element !== undefined ? choicesOf(def.element) : [];
}

export function rangeOf(field: Field): OptionDescription['range'] {
  const { minValue, maxValue } = innermost(field);
  // Without a bound in the schema zod returns that of safe integers, which is of no use in a help text.
  const bound = (value: number | null | undefined) =>
    value == null || Math.abs(value) >= Number.MAX_SAFE_INTEGER ? null : value;
  return { least: bound(minValue), most: bound(maxValue) };
}

export function defaultOf(field: Field): unknown {
  if (field.def.defaultValue !== undefined) return field.def.defaultValue;
  return field.def.innerType === undefined ? undefined : defaultOf(field.def.innerType);
}

export function metaOf(field: Field): Record<string, unknown> {
  const meta = (field.meta?.() ?? {}) as Record<string, unknown>;
  return field.def.innerType === undefined ? meta : { ...metaOf(field.def.innerType), ...meta };
}
