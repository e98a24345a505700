/**
 * Reads CSV without quotes: `instance_id,start,end,metadata_no_token[,rejected]`. Each line is a span of
 * whole hours.
 */
import { OperatorError } from '../../../common/operator_error.ts';
import { cloudCount } from '../../contract/cloud.ts';
import { type CloudFigures, NO_INVENTORY } from './cloud_figures.ts';

const COLUMNS = ['instance_id', 'start', 'end', 'metadata_no_token', 'rejected'];
const MAX_LINES = 100_000;
const COUNT = /^\d{1,15}$/;

/** Throws `OperatorError` (1) that names the line. */
export function readCountsCsv(name: string, text: string): CloudFigures {
  const lines = text.split(/\r?\n/);
  const header = lines[0]!.split(',').map((cell) => cell.trim());
  const isRight = header.length >= 4 && header.length <= 5 && header.every((cell, i) => cell === COLUMNS[i]);
  if (!isRight) {
    throw new OperatorError(
      1,
      `${name} is neither JSON nor CSV with counts. The first line of CSV must be "${COLUMNS.slice(0, 4).join(',')}", followed by ",rejected" if that is known.`,
    );
  }
  if (lines.length > MAX_LINES)
    throw new OperatorError(1, `${name} has more than ${MAX_LINES} lines. Split it.`);
  const counts: CloudFigures['counts'] = [];
  const seen = new Set<string>();
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === '') continue;
    const fail = (what: string) => new OperatorError(1, `${name}, line ${index + 1}: ${what}.`);
    const cells = line.split(',').map((cell) => cell.trim());
    if (cells.length < 4 || cells.length > header.length)
      throw fail(`it has ${cells.length} cells, but the first line has ${header.length}`);
    const [instance_id, start, end, noToken, rejected = ''] = cells as [
      string,
      string,
      string,
      string,
      string?,
    ];
    if (!COUNT.test(noToken) || !(rejected === '' || COUNT.test(rejected))) {
      throw fail('a count must be a whole number');
    }
    const parsed = cloudCount.safeParse({
      instance_id,
      start,
      end,
      metadata_no_token: Number(noToken),
      metadata_no_token_rejected: rejected === '' ? null : Number(rejected),
    });
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw fail(`${issue!.path.join('.') || 'the span'}: ${issue!.message}`);
    }
    const key = JSON.stringify([instance_id, Date.parse(start)]);
    if (seen.has(key)) throw fail('an earlier line has the same instance and start');
    seen.add(key);
    counts.push(parsed.data);
  }
  if (counts.length === 0) throw new OperatorError(1, `${name} has no counts below its first line.`);
  return { counts, instances: [], inventory: NO_INVENTORY, ignored: {} };
}
