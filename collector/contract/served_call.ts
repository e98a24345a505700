/** A call in lists and in the live feed, with the offender that it belongs to. */
import * as z from 'zod';
import { call } from '../../protocol/call.ts';

export const servedCall = call.extend({
  /** `id` of the workload, whatever its calls' version. */
  offender: z.string().regex(/^[0-9a-f]{16}$/),
});
export type ServedCall = z.infer<typeof servedCall>;
