/** Finds the offender that a command names. */
import type { Offender } from '../collector/contract/offender.ts';
import { OperatorError } from '../common/operator_error.ts';

/** Returns the offender with this id or title. Throws `OperatorError`: 1 for none, 2 for several. */
export function namedOffender(wanted: string, all: readonly Offender[]): Offender {
  const found = all.filter(
    ({ id, title, releases }) =>
      id === wanted || title === wanted || releases.some((release) => release.id === wanted),
  );
  const [offender] = found;
  if (offender === undefined) {
    throw new OperatorError(
      1,
      `There is no offender "${wanted}". "imdswatch offenders --json" lists their ids and names.`,
    );
  }
  if (found.length > 1) {
    throw new OperatorError(
      2,
      `${found.length} offenders have the name "${wanted}". Give an id: ${found.map(({ id }) => id).join(', ')}.`,
    );
  }
  return offender;
}
