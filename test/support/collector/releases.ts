/** Environment of a process that is the release after this one, see `later_release.ts`. */
import { join } from 'node:path';

export const LATER_RELEASE: Record<string, string> = {
  NODE_OPTIONS:
    `${process.env['NODE_OPTIONS'] ?? ''} --import=${join(import.meta.dirname, 'later_release.ts')}`.trim(),
};
