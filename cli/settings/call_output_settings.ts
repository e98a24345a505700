/** Declares the settings of output that `watch` and `read` share. */
import * as z from 'zod';

export const callOutputShape = {
  json: z.boolean().default(false).describe('Print each call as one line of JSON (see docs/events.md).'),
  color: z
    .enum(['auto', 'always', 'never'])
    .default('auto')
    .describe('Use colours. auto: only on a terminal, and not when NO_COLOR is set.'),
};
