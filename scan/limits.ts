/** Bounds on what a scan takes in. Scanned files are untrusted. */

export interface Limits {
  /** Larger files are reported and not read. */
  fileBytes: number;
  /** Nesting of directories, and of values in a file. */
  depth: number;
  /** Files that are looked at. */
  files: number;
  /** Local modules inside each other. */
  moduleDepth: number;
  /** Steps of evaluation for one root module or template. */
  evaluationSteps: number;
}

export const LIMITS: Limits = {
  fileBytes: 20 * 1024 * 1024,
  depth: 64,
  files: 1_000_000,
  moduleDepth: 16,
  evaluationSteps: 2_000_000,
};
