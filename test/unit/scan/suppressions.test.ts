/** Suppression comments: ours and those of other scanners, and what they reach. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Finding } from '../../../scan/finding.ts';
import { SourceFile } from '../../../scan/source_file.ts';
import { suppress } from '../../../scan/suppressions.ts';

const TODAY = '2026-06-15';
const ELSEWHERE = ['KICS:c306ac53-ee5b-41d3-86a9-0fd2722b4e67', 'CKV_AWS_79', 'AWS-0028'];

/** The finding stands on the line that has `HERE`; its statement reaches from `{` to `}`, or is that line. */
function findingIn(file: SourceFile, elsewhere: readonly string[]): Finding {
  const at = file.text.indexOf('HERE');
  const open = file.text.indexOf('{');
  const close = file.text.indexOf('}');
  return {
    rule: 'imdsv1-allowed',
    level: 'error',
    path: file.path,
    range: file.range(at, at + 4),
    scope:
      open === -1 ? file.range(at, at + 4) : file.range(file.lineStart(file.position(open).line), close + 1),
    subject: 'x',
    message: 'x.',
    evidence: [],
    remedy: 'x.',
    elsewhere,
    identity: 'x',
  };
}

const OWN = 'imdswatch:ignore imdsv1-allowed';

/** Expected: `kept`, `suppressed`, `expired` (kept, with a finding about the comment), `wrong` (kept, with a problem). */
const ROWS: readonly (readonly [expected: string, why: string, text: string])[] = [
  ['kept', 'no comment', 'x {\n HERE\n}'],
  ['suppressed', 'ours above the statement', `# ${OWN} legacy agent\nx {\n HERE\n}`],
  ['suppressed', 'ours in the statement', `x {\n # ${OWN} legacy agent\n HERE\n}`],
  ['suppressed', 'ours on the line', `HERE // ${OWN} legacy agent`],
  ['suppressed', 'ours with other comments between', `# ${OWN} legacy agent\n# more\nx {\n HERE\n}`],
  ['suppressed', 'ours among several rules', '# imdswatch:ignore imdsv1-call,imdsv1-allowed legacy\nHERE'],
  ['suppressed', 'ours before its end date', `# ${OWN} until=2026-06-16 legacy\nHERE`],
  ['suppressed', 'ours on its last day', `# ${OWN} until=2026-06-15: legacy\nHERE`],
  ['expired', 'ours after its end date', `# ${OWN} until=2026-06-14 legacy\nHERE`],
  ['wrong', 'ours without a reason', `# ${OWN}\nHERE`],
  ['wrong', 'ours with a date and no reason', `# ${OWN} until=2026-06-16\nHERE`],
  ['wrong', 'ours with a day that is none', `# ${OWN} until=2026-02-31x legacy\nHERE`],
  ['wrong', 'ours for an unknown rule', '# imdswatch:ignore everything legacy\nHERE'],
  ['kept', 'ours for another rule', '# imdswatch:ignore imdsv1-call legacy\nHERE'],
  ['kept', 'ours with code between', `# ${OWN} legacy\ny = 1\nHERE`],
  ['kept', 'ours behind the statement', `HERE\n# ${OWN} legacy`],
  ['kept', 'ours in a string', `y = "${OWN} legacy"\nHERE`],
  // Checkov documentation: the comment stands in the resource.
  ['suppressed', 'Checkov', 'x {\n # checkov:skip=CKV_AWS_79: legacy\n HERE\n}'],
  ['kept', 'Checkov, another check', 'x {\n # checkov:skip=CKV_AWS_80: legacy\n HERE\n}'],
  // KICS documentation: the line below, the block below, the whole file.
  ['suppressed', 'KICS, line', '# kics-scan ignore-line\nHERE'],
  ['kept', 'KICS, another line', '# kics-scan ignore-line\ny\nHERE'],
  ['suppressed', 'KICS, block', '# kics-scan ignore-block\nx {\n y\n HERE\n}'],
  ['kept', 'KICS, block inside', 'x {\n # kics-scan ignore-block\n y\n HERE\n}'],
  ['suppressed', 'KICS, file', '# kics-scan ignore\n\ny = 1\nHERE'],
  ['kept', 'KICS, file, below code', 'y = 1\n# kics-scan ignore\nz = 1\nHERE'],
  ['suppressed', 'KICS, query', '# kics-scan disable=c306ac53-ee5b-41d3-86a9-0fd2722b4e67\ny\nHERE'],
  ['kept', 'KICS, another query', '# kics-scan disable=00000000-ee5b-41d3-86a9-0fd2722b4e67\ny\nHERE'],
  // Trivy documentation, "Ignoring by inline comments": exp is the last day.
  ['suppressed', 'Trivy', '#trivy:ignore:AWS-0028\nx {\n HERE\n}'],
  ['suppressed', 'Trivy, old id', '# trivy:ignore:AVD-AWS-0028\nx {\n HERE\n}'],
  ['suppressed', 'Trivy on the line', 'x {\n HERE #trivy:ignore:aws-0028\n}'],
  ['suppressed', 'Trivy before its end', '#trivy:ignore:AWS-0028:exp:2026-12-31\nHERE'],
  ['kept', 'Trivy after its end', '#trivy:ignore:AWS-0028:exp:2026-01-31\nHERE'],
  ['suppressed', 'tfsec', '#tfsec:ignore:aws-ec2-enforce-http-token-imds\nHERE'],
  ['suppressed', 'tfsec, everything', '#tfsec:ignore:*\nHERE'],
  [
    'suppressed',
    'tfsec beside another',
    '#tfsec:ignore:aws-x-y tfsec:ignore:aws-ec2-enforce-http-token-imds\nHERE',
  ],
  ['kept', 'tfsec, another check', '#tfsec:ignore:aws-ec2-no-public-ip\nHERE'],
];

describe('suppressions', () => {
  for (const [expected, why, text] of ROWS) {
    test(`${expected}: ${why}`, () => {
      const file = SourceFile.fromText('x.tf', text);
      const { findings, problems, count } = suppress([findingIn(file, ELSEWHERE)], () => file, TODAY);
      const rules = findings.map(({ rule }) => rule).join(' ');
      const actual =
        count === 1
          ? 'suppressed'
          : problems.length > 0
            ? 'wrong'
            : rules === 'imdsv1-allowed suppression-expired'
              ? 'expired'
              : 'kept';
      assert.equal(actual, expected);
      assert.equal(
        findings.some(({ rule }) => rule === 'imdsv1-allowed'),
        expected !== 'suppressed',
      );
    });
  }

  test('of others do not reach rules that only we have', () => {
    const file = SourceFile.fromText('x.sh', '# kics-scan ignore-line\nHERE');
    assert.equal(suppress([findingIn(file, [])], () => file, TODAY).count, 0);
  });
});
