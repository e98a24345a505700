/** Reads a file that `imdswatch cloud sync` wrote. */
import { OperatorError } from '../../../common/operator_error.ts';
import { cloudDocument } from '../../contract/cloud.ts';
import type { CloudFigures } from './cloud_figures.ts';

/** Throws `OperatorError` (1). What could not be read from the cloud is among `ignored`. */
export function readCloudDocument(name: string, document: unknown): CloudFigures {
  const result = cloudDocument.safeParse(document);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new OperatorError(
      1,
      `${name}: ${issue!.path.join('.')}: ${issue!.message}. Write the file again with this release's "imdswatch cloud sync".`,
    );
  }
  const { counts, metadata_options: instances, inventory, places } = result.data;
  const ignored: Record<string, number> = {};
  for (const { account, region, problems } of places) {
    for (const problem of problems) ignored[`read of ${account} in ${region} that failed: ${problem}`] = 1;
  }
  return { counts, instances, inventory, ignored };
}
