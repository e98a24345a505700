/** Schemas of the events of the live feed, besides the call itself (`served_call.ts`). */
import * as z from 'zod';

/** The data of an event `others`: whether the feed has the calls of the other collectors of the same database. */
export const liveOthers = z.object({
  /** `joining`: the other collectors learn of this feed. `joined`: they send their calls. `lost`: they cannot. */
  state: z.enum(['joining', 'joined', 'lost']),
  /** With `lost` a whole sentence that says why; else null. */
  reason: z.string().nullable(),
});

export type LiveOthers = z.infer<typeof liveOthers>;
