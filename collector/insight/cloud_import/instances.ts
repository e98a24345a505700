/** Reads the metadata options of instances. Shape: AWS CLI reference, `ec2 describe-instances`. */
import * as z from 'zod';
import { OperatorError } from '../../../common/operator_error.ts';
import { type CloudFigures, NO_INVENTORY } from './cloud_figures.ts';

const MAX_INSTANCES = 100_000;
const reservations = z.object({
  Reservations: z.array(
    z.object({
      Instances: z.array(
        z.object({
          InstanceId: z.string().min(1).max(200),
          MetadataOptions: z
            .object({
              State: z.string().optional(),
              HttpTokens: z.enum(['optional', 'required']).optional(),
              HttpPutResponseHopLimit: z.int().min(1).max(64).optional(),
              HttpEndpoint: z.enum(['enabled', 'disabled']).optional(),
            })
            .optional(),
        }),
      ),
    }),
  ),
});

/** Throws `OperatorError` (1). */
export function readInstances(name: string, document: unknown): CloudFigures {
  const result = reservations.safeParse(document);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new OperatorError(1, `${name}: ${issue!.path.join('.')}: ${issue!.message}.`);
  }
  const ignored: Record<string, number> = {};
  const instances: CloudFigures['instances'] = [];
  for (const { InstanceId: id, MetadataOptions: options } of result.data.Reservations.flatMap(
    (reservation) => reservation.Instances,
  )) {
    // Options in state `pending` are requested but not in force yet.
    const reason =
      options === undefined
        ? 'instances without metadata options'
        : options.State === 'pending'
          ? 'instances whose metadata options are being changed'
          : null;
    if (reason === null) {
      instances.push({
        instance_id: id,
        http_tokens: options!.HttpTokens ?? null,
        hop_limit: options!.HttpPutResponseHopLimit ?? null,
        http_endpoint: options!.HttpEndpoint ?? null,
      });
    } else {
      ignored[reason] = (ignored[reason] ?? 0) + 1;
    }
  }
  if (instances.length > MAX_INSTANCES) {
    throw new OperatorError(1, `${name} has more than ${MAX_INSTANCES} instances. Split it.`);
  }
  return { counts: [], instances, inventory: NO_INVENTORY, ignored };
}
