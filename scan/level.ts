/** Levels of findings, with the words of SARIF. */

/**
 * `error`: the code itself allows or makes IMDSv1 calls. `warning`: a default allows them, or the value cannot
 * be known. `note`: worth knowing, nothing to change for safety.
 */
export type Level = 'error' | 'warning' | 'note';
export const LEVELS = ['error', 'warning', 'note'] as const satisfies readonly Level[];
