/** Reads files with counts or metadata options that an operator made with the AWS CLI or a spreadsheet. */
import { OperatorError } from '../../../common/operator_error.ts';
import { readCloudDocument } from './cloud_document.ts';
import type { CloudFigures, CloudFileOptions } from './cloud_figures.ts';
import { readMetricData, readMetricStatistics } from './cloudwatch.ts';
import { readCountsCsv } from './counts_csv.ts';
import { readInstances } from './instances.ts';

/**
 * Reads the JSON output of `aws cloudwatch get-metric-data`, `aws cloudwatch get-metric-statistics`, `aws
 * ec2 describe-instances` or `imdswatch cloud sync`, or CSV with the columns `instance_id,start,end,metadata_no_token[,rejected]`.
 * `name` is used in messages only. Throws `OperatorError` (1).
 */
export function readCloudFile(name: string, text: string, options: CloudFileOptions): CloudFigures {
  const content = text.replace(/^\uFEFF/, '').trim();
  if (content === '') throw new OperatorError(1, `${name} is empty.`);
  if (!/^[[{"]/.test(content)) return readCountsCsv(name, content);
  let document: unknown;
  try {
    document = JSON.parse(content);
  } catch (error) {
    throw new OperatorError(1, `${name} is not valid JSON. It may be cut off.`, { cause: error });
  }
  if (typeof document === 'object' && document !== null) {
    if ('MetricDataResults' in document) return readMetricData(name, document, options);
    if ('Datapoints' in document) return readMetricStatistics(name, document, options);
    if ('Reservations' in document) return readInstances(name, document);
    if ('imdswatch_cloud' in document) return readCloudDocument(name, document);
  }
  throw new OperatorError(
    1,
    `${name} is JSON of another kind. It must be the output of "aws cloudwatch get-metric-data", "aws cloudwatch get-metric-statistics", "aws ec2 describe-instances" or "imdswatch cloud sync".`,
  );
}
