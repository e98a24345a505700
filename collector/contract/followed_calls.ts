/** Schema of a page of calls in the order of their arrival. */
import * as z from 'zod';
import { servedCall } from './served_call.ts';

/** A call with the time at which the collector stored it, RFC 3339. */
export const followedCall = servedCall.extend({ stored: z.string() });
export type FollowedCall = z.infer<typeof followedCall>;

export const followedCalls = z.object({
  items: z.array(followedCall),
  /** Value of `after` of the next question, also where there are no items. */
  next: z.string(),
  /** Calls between `after` and `next` that retention deleted before they were read. */
  deleted: z.int().min(0),
  /** Calls that are behind `next` already. */
  waiting: z.int().min(0),
});
export type FollowedCalls = z.infer<typeof followedCalls>;
