/** Schema of what is served about the store. */
import * as z from 'zod';

export const storage = z.object({
  /** `embedded`: files of the one collector. `postgresql`: a database that collectors share. */
  kind: z.enum(['embedded', 'postgresql']),
  /** Machines that surely have a batch on disk when it is acknowledged; 0 where it may be in memory only. */
  copies: z.int().min(0),
  /** False where an acknowledged batch may be lost with one machine. */
  survives_loss_of_machine: z.boolean(),
  /** Says in whole sentences what an acknowledgement is worth. */
  text: z.string(),
});

export type Storage = z.infer<typeof storage>;
