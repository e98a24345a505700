/** Describes the fields of a schema with their types in words. */
import * as z from 'zod';

export interface SchemaField {
  key: string;
  type: string;
}

type JsonSchema = z.core.JSONSchema.JSONSchema;

export function fieldsOf(schema: z.ZodObject): SchemaField[] {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input' });
  return Object.entries(properties).map(([key, property]) => ({
    key,
    type: `${typeOf(property as JsonSchema)}${required.includes(key) ? '' : ', optional'}`,
  }));
}

function typeOf(schema: JsonSchema): string {
  const { anyOf, const: only, enum: values, type, format, items } = schema;
  if (anyOf !== undefined) return [...new Set(anyOf.map((one) => typeOf(one as JsonSchema)))].join(' or ');
  if (only !== undefined) return `\`${JSON.stringify(only).replaceAll('"', '')}\``;
  if (values !== undefined) return values.map((value) => `\`${String(value)}\``).join(', ');
  // The declared type has no lists, but `nullable` makes a list of a plain type.
  const several: unknown = type;
  if (Array.isArray(several)) return several.join(' or ');
  if (type === 'array') return `array of ${plural(items as JsonSchema)}`;
  if (type === 'integer') return 'whole number';
  if (type === 'string' && format === 'uuid') return 'UUID';
  return (type as string | undefined) ?? 'anything';
}

function plural(items: JsonSchema): string {
  const one = typeOf(items);
  return /^(string|object|number|whole number)$/.test(one) ? `${one}s` : one;
}
