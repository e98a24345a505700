/** Values with their origin: what is known, what is not and why, and which literal it comes from. Pure. */

/** A stretch of a scanned file, as UTF-16 indices. */
export interface Place {
  path: string;
  start: number;
  end: number;
}

/** A step from a setting to the literal that decides it: a variable, a local, a module's input. */
export interface Step {
  subject: string;
  says: string;
  place: Place | null;
  source?: string;
  /** Says whether the value at this step also decides something else. Default: it does not. */
  isShared?: () => boolean;
}

/** A value that cannot be known from the code. */
export class Unknown {
  /** Part of a sentence: `var.tokens has no default`. */
  readonly reason: string;
  /** A mistake in the code, such as a missing key, which `try` and `can` catch. */
  readonly isFailure: boolean;
  constructor(reason: string, isFailure = false) {
    this.reason = reason;
    this.isFailure = isFailure;
  }
}

/** An attribute of a resource in the scanned code, which is known only when it is created. */
export class Reference extends Unknown {
  /** Address of the resource, with its module and without instance keys. */
  readonly address: string;
  readonly attribute: string;
  constructor(address: string, attribute: string) {
    super(`${address}${attribute === '' ? '' : `.${attribute}`} is known only after it is created`);
    this.address = address;
    this.attribute = attribute;
  }
}

export type Data = string | number | boolean | null | readonly Value[] | ReadonlyMap<string, Value> | Unknown;

export interface Value {
  data: Data;
  /** The literal that the data was written as, for fixes; null where it was computed. */
  literal: Place | null;
  /** Steps from the last one back to the literal. */
  steps: readonly Step[];
}

const NO_STEPS: readonly Step[] = [];
/** Steps that are kept; longer chains lose their middle. */
const MAX_STEPS = 12;

export function makeValue(
  data: Data,
  literal: Place | null = null,
  steps: readonly Step[] = NO_STEPS,
): Value {
  return { data, literal, steps };
}

export function unknown(reason: string): Value {
  return makeValue(new Unknown(reason));
}

/** Returns an unknown value that `try` and `can` catch. */
export function failure(reason: string): Value {
  return makeValue(new Unknown(reason, true));
}

/** Returns the value with a step in front of its others. */
export function withStep(value: Value, step: Step): Value {
  if (value.steps.length >= MAX_STEPS) return value;
  return { ...value, steps: [step, ...value.steps] };
}

export function isList(data: Data): data is readonly Value[] {
  return Array.isArray(data);
}

export function isMap(data: Data): data is ReadonlyMap<string, Value> {
  return data instanceof Map;
}

export function isUnknown(data: Data): data is Unknown {
  return data instanceof Unknown;
}

/** Returns the reason of the first unknown part of a value, or null when all of it is known. */
export function firstUnknown({ data }: Value, depth = 0): Unknown | null {
  if (isUnknown(data)) return data;
  if (depth > 32) return null;
  if (isList(data) || isMap(data)) {
    for (const inner of data.values()) {
      const found = firstUnknown(inner, depth + 1);
      if (found !== null) return found;
    }
  }
  return null;
}

/** Returns the boolean that Terraform would convert the data to; null when it is none. */
export function asBoolean(data: Data): boolean | null {
  if (data === true || data === 'true') return true;
  if (data === false || data === 'false') return false;
  return null;
}

/** Returns the number that Terraform would convert the data to; null when it is none. */
export function asNumber(data: Data): number | null {
  if (typeof data === 'number') return data;
  if (typeof data === 'string' && /^-?\d+(\.\d+)?$/.test(data.trim())) return Number(data);
  return null;
}

/** Returns the text that Terraform would convert a primitive to; null for everything else. */
export function asText(data: Data): string | null {
  if (typeof data === 'string') return data;
  if (typeof data === 'number' || typeof data === 'boolean') return String(data);
  return null;
}

/** Compares known data by content. Returns null where a part is unknown. */
export function isEqual(one: Data, other: Data, depth = 0): boolean | null {
  if (isUnknown(one) || isUnknown(other) || depth > 32) return null;
  if (isList(one) && isList(other)) {
    if (one.length !== other.length) return false;
    return every(one.map((item, at) => isEqual(item.data, other[at]!.data, depth + 1)));
  }
  if (isMap(one) && isMap(other)) {
    if (one.size !== other.size) return false;
    return every(
      [...one].map(([key, value]) => {
        const twin = other.get(key);
        return twin === undefined ? false : isEqual(value.data, twin.data, depth + 1);
      }),
    );
  }
  return one === other;
}

function every(answers: readonly (boolean | null)[]): boolean | null {
  if (answers.includes(false)) return false;
  return answers.includes(null) ? null : true;
}
