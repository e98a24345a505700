/** Describes how calls are put out: the settings that `watch` and `read` share. */
import * as z from 'zod';

export const callOutputShape = {
  json: z.boolean().default(false).describe('Print each call as one line of JSON (the event reference).'),
  color: z
    .enum(['auto', 'always', 'never'])
    .default('auto')
    .describe('Colours; auto: on a terminal, unless NO_COLOR is set.'),
};
