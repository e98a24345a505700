/** Makes a report from the collector's store on this machine, and says where its data came from if that can differ. */
import { type JudgingOptions, makeReport, type ReportFindings, type StorePlace } from '../collector/local.ts';
import { visibleText } from './terminal/visible_text.ts';

/** Standard output has the report alone, also as JSON. Throws `OperatorError` when the store cannot be opened. */
export async function localReport<T>(
  place: StorePlace,
  options: JudgingOptions,
  work: (findings: ReportFindings) => Promise<T>,
): Promise<T> {
  const { report, source } = await makeReport(place, options, work);
  if (source !== null) process.stderr.write(`${visibleText(`imdswatch: ${source}`)}\n`);
  return report;
}
