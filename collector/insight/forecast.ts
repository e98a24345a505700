/**
 * Forecasts when a number that falls from week to week reaches zero, with the span in which it does so with a
 * probability of 80 %, or says why it cannot. Pure.
 *
 * The model is a straight line through the weeks (ordinary least squares). The span is Fieller's: the times at which
 * zero lies in the confidence interval of the line (Draper and Smith, "Applied Regression Analysis", inverse
 * estimation). The weeks must not overlap: sums over overlapping weeks move together and look surer than they are.
 */

export interface Week {
  /** Callers, or hosts that are held, in this week. */
  count: number;
  /** Hosts that reported in this week. */
  watched: number;
}

export const CONFIDENCE_PERCENT = 80;
export const MIN_WEEKS = 4;
export const MAX_WEEKS = 12;
/** A fleet that grows or shrinks by more than this share brings and takes callers that nobody fixed. */
const MAX_FLEET_CHANGE = 0.1;
/** Two years. A line that is followed for longer says nothing. */
const MAX_WEEKS_AHEAD = 104;

/**
 * Quantiles of Student's t for a two-sided interval of 80 %, by degrees of freedom from 2 (NIST/SEMATECH e-Handbook
 * of Statistical Methods, section 1.3.6.7.2).
 */
const T_80 = [1.886, 1.638, 1.533, 1.476, 1.44, 1.415, 1.397, 1.383, 1.372];

export type NoForecast =
  /** Fewer than four whole weeks are stored. */
  | 'too_few_weeks'
  /** The number of watched hosts changed by more than a tenth. */
  | 'fleet_changed'
  /** The number does not fall, or not more clearly than it goes up and down. */
  | 'not_falling'
  /** The line reached zero already, and there are still callers. */
  | 'overdue'
  /** The line reaches zero in more than two years. */
  | 'too_far';

export type Forecast =
  /** The last whole week had none. */
  | { kind: 'reached' }
  | { kind: 'unknown'; reason: NoForecast }
  /** Weeks after the end of the last one. `latest` null: in more than two years. */
  | { kind: 'expected'; weeks: number; earliest: number; latest: number | null };

/** `weeks`: whole weeks, oldest first. The last twelve are used. */
export function forecastOf(weeks: readonly Week[]): Forecast {
  const used = weeks.slice(-MAX_WEEKS);
  const count = used.length;
  if (count > 0 && used.at(-1)!.count === 0) return { kind: 'reached' };
  if (count < MIN_WEEKS) return { kind: 'unknown', reason: 'too_few_weeks' };
  const watched = used.map((week) => week.watched);
  if (Math.max(...watched) - Math.min(...watched) > MAX_FLEET_CHANGE * Math.max(...watched)) {
    return { kind: 'unknown', reason: 'fleet_changed' };
  }
  const meanX = (count - 1) / 2;
  const meanY = used.reduce((sum, week) => sum + week.count, 0) / count;
  let [xx, xy] = [0, 0];
  for (const [x, week] of used.entries()) {
    xx += (x - meanX) ** 2;
    xy += (x - meanX) * (week.count - meanY);
  }
  const slope = xy / xx;
  const residuals = used.map((week, x) => week.count - meanY - slope * (x - meanX));
  const variance = residuals.reduce((sum, each) => sum + each ** 2, 0) / (count - 2);
  // A line through whole numbers is never surer than one caller more or less.
  const allowed = T_80[count - MIN_WEEKS]! ** 2 * Math.max(variance, 1);
  const quadratic = slope ** 2 - allowed / xx;
  if (slope >= 0 || quadratic <= 0) return { kind: 'unknown', reason: 'not_falling' };
  const discriminant = (meanY * slope) ** 2 - quadratic * (meanY ** 2 - allowed / count);
  const root = Math.sqrt(Math.max(discriminant, 0));
  // A week's number is reached at its end.
  const ahead = (fromMean: number) => fromMean + meanX - (count - 1);
  const weeksAhead = ahead(-meanY / slope);
  if (weeksAhead <= 0) return { kind: 'unknown', reason: 'overdue' };
  if (weeksAhead > MAX_WEEKS_AHEAD) return { kind: 'unknown', reason: 'too_far' };
  const latest = ahead((-meanY * slope + root) / quadratic);
  return {
    kind: 'expected',
    weeks: weeksAhead,
    earliest: Math.max(0, ahead((-meanY * slope - root) / quadratic)),
    latest: latest > MAX_WEEKS_AHEAD ? null : latest,
  };
}
