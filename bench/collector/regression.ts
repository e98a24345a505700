/** Fits a straight line to samples by least squares, with the error of its slope. */

export interface Line {
  slope: number;
  /** Half of the 95 % confidence interval of `slope`. */
  slopeError: number;
  intercept: number;
}

/** Quantile of the normal distribution. With tens of samples, Student's is hardly wider. */
const TWO_SIDED_95 = 1.96;

/** Returns the line. Throws if there are fewer than three samples at different places. */
export function regressionLine(samples: readonly { at: number; value: number }[]): Line {
  const count = samples.length;
  const meanAt = samples.reduce((sum, { at }) => sum + at, 0) / count;
  const meanValue = samples.reduce((sum, { value }) => sum + value, 0) / count;
  let spread = 0;
  let together = 0;
  for (const { at, value } of samples) {
    spread += (at - meanAt) ** 2;
    together += (at - meanAt) * (value - meanValue);
  }
  if (count < 3 || spread === 0) throw new Error('a line needs three samples at different places');
  const slope = together / spread;
  const intercept = meanValue - slope * meanAt;
  const residual = samples.reduce((sum, { at, value }) => sum + (value - intercept - slope * at) ** 2, 0);
  return { slope, intercept, slopeError: TWO_SIDED_95 * Math.sqrt(residual / (count - 2) / spread) };
}
