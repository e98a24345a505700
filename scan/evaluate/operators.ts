/** Arithmetic and comparison of known values. Pure. */
import { asNumber, failure, makeValue, type Step, type Value } from './value.ts';

/** Applies an operator other than `==`, `!=`, `&&` and `||`. */
export function arithmetic(operator: string, left: Value, right: Value, steps: readonly Step[]): Value {
  const one = asNumber(left.data);
  const other = asNumber(right.data);
  if (one === null || other === null) return failure(`"${operator}" is applied to a value of the wrong type`);
  switch (operator) {
    case '<':
      return makeValue(one < other, null, steps);
    case '<=':
      return makeValue(one <= other, null, steps);
    case '>':
      return makeValue(one > other, null, steps);
    case '>=':
      return makeValue(one >= other, null, steps);
    case '+':
      return makeValue(one + other, null, steps);
    case '-':
      return makeValue(one - other, null, steps);
    case '*':
      return makeValue(one * other, null, steps);
    case '/':
      return other === 0 ? failure('a division by zero') : makeValue(one / other, null, steps);
    case '%':
      return other === 0 ? failure('a division by zero') : makeValue(one % other, null, steps);
    default:
      return failure(`the operator "${operator}" is not computed`);
  }
}
