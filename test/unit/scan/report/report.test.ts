/** Reports: fingerprints, baseline, and each form as its readers want it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import AjvDraft04 from 'ajv-draft-04';
import fc from 'fast-check';
import type { Finding, Problem } from '../../../../scan/finding.ts';
import { readBaseline } from '../../../../scan/report/baseline.ts';
import {
  githubReport,
  jsonReport,
  junitReport,
  markdownReport,
} from '../../../../scan/report/other_formats.ts';
import { fingerprints, makeReport, type Report } from '../../../../scan/report/reported.ts';
import { sarifLog } from '../../../../scan/report/sarif.ts';
import { textReport } from '../../../../scan/report/text_report.ts';
import { SourceFile } from '../../../../scan/source_file.ts';

const TEXT = 'resource "aws_instance" "web" {\n\tmetadata_options {\n\t\thttp_tokens = "optional"\n\t}\n}\n';

function finding(file: SourceFile, part: string, more: Partial<Finding> = {}): Finding {
  const at = file.text.indexOf(part);
  return {
    rule: 'imdsv1-allowed',
    level: 'error',
    path: file.path,
    range: file.range(at, at + part.length),
    scope: file.range(0, file.text.length),
    subject: 'aws_instance.web',
    message: 'It lets <IMDSv1> calls, "all", of them | through: 100%.',
    evidence: [{ subject: 'aws_instance.web', says: 'sets it', path: file.path, range: file.range(0, 8) }],
    remedy: 'Require tokens.\nhttp_tokens = "required"',
    elsewhere: [],
    identity: 'http_tokens',
    ...more,
  };
}

const PROBLEMS: Problem[] = [{ path: 'a b/broken.tf', message: 'The file cannot be parsed.' }];
const COUNTS = { files: 3, scanned: 2, bytes: 10, resources: 1, suppressed: 1 };

function report(path = 'infra/main.tf', known: ReadonlySet<string> = new Set()): Report {
  const file = SourceFile.fromText(path, TEXT);
  const at = TEXT.indexOf('"optional"');
  const edits = [{ path, start: at, end: at + 10, text: '"required"' }];
  const one = finding(file, 'http_tokens = "optional"', {
    fix: { summary: 'Set http_tokens to "required".', edits },
  });
  return makeReport(
    { findings: [one], problems: PROBLEMS, counts: COUNTS },
    () => file,
    known,
    (line) => line,
  );
}

describe('fingerprints', () => {
  const file = SourceFile.fromText('main.tf', TEXT);
  const [before] = fingerprints([finding(file, 'http_tokens')]);

  test('stay when lines move', () => {
    const moved = SourceFile.fromText('main.tf', `\n\n# more\n${TEXT}`);
    assert.equal(fingerprints([finding(moved, 'http_tokens')])[0], before);
  });

  test('differ by rule, path, subject, identity and number', () => {
    const one = finding(file, 'http_tokens');
    const all = fingerprints([
      one,
      one,
      { ...one, rule: 'imdsv1-unknown' },
      { ...one, path: 'other.tf' },
      { ...one, subject: 'other' },
      { ...one, identity: 'other' },
    ]);
    assert.equal(new Set(all).size, 6);
    assert.equal(all[0], before);
    for (const fingerprint of all) assert.match(fingerprint, /^[0-9a-f]{32}$/);
  });
});

describe('baseline', () => {
  test('is an earlier report in JSON or SARIF', () => {
    for (const earlier of [jsonReport(report()), sarifLog(report(), '1.0.0')]) {
      const known = readBaseline(JSON.stringify(earlier))!;
      assert.equal(known.size, 1);
      const now = report('infra/main.tf', known);
      assert.equal(now.findings.length, 0);
      assert.equal(now.counts.known, 1);
    }
  });

  test('leaves a new finding in', () => {
    assert.equal(report('other.tf', readBaseline(JSON.stringify(jsonReport(report())))!).findings.length, 1);
  });

  test('is nothing else', () => {
    for (const text of ['', '[]', '{}', '{"findings":[{}]}', 'null']) assert.equal(readBaseline(text), null);
  });
});

describe('SARIF', () => {
  const schema = JSON.parse(
    readFileSync(
      createRequire(import.meta.url).resolve('@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json'),
      'utf8',
    ),
  ) as object;
  const validate = new AjvDraft04.default({
    strict: false,
    unicodeRegExp: false,
    validateFormats: false,
    allErrors: true,
  }).compile(schema);

  test('is valid by the schema of the standard', () => {
    for (const path of ['infra/main.tf', 'a b/ü%:x.tf', '/srv/main.tf']) {
      assert.ok(validate(sarifLog(report(path), '1.2.3')), JSON.stringify(validate.errors));
    }
    assert.ok(validate(sarifLog({ findings: [], problems: [], counts: { ...COUNTS, known: 0 } }, '1.2.3')));
    assert.ok(!validate({ version: '2.1.0', runs: [{ results: [{}] }] }), 'the schema refuses what is wrong');
  });

  test('has place, fingerprint and fix', () => {
    const log = sarifLog(report('a b/main.tf'), '1.2.3') as { runs: [{ results: [Record<string, never>] }] };
    const [result] = log.runs[0].results;
    const region = { startLine: 3, startColumn: 3, endLine: 3, endColumn: 27 };
    assert.partialDeepStrictEqual(result, {
      ruleId: 'imdsv1-allowed',
      level: 'error',
      locations: [{ physicalLocation: { artifactLocation: { uri: 'a%20b/main.tf' }, region } }],
      fixes: [
        {
          artifactChanges: [
            {
              replacements: [
                {
                  deletedRegion: { startLine: 3, startColumn: 17, endLine: 3, endColumn: 27 },
                  insertedContent: { text: '"required"' },
                },
              ],
            },
          ],
        },
      ],
    });
  });
});

describe('other forms', () => {
  test('text marks the place below the code', () => {
    const lines = textReport(report(), { colour: false, width: 80 }).split('\n');
    assert.equal(lines[0], 'error  imdsv1-allowed  infra/main.tf:3:3  aws_instance.web');
    assert.equal(lines[2], '  3 | \t\thttp_tokens = "optional"');
    assert.equal(lines[3], `    | \t\t${'^'.repeat(24)}`);
    assert.equal(lines.at(-2), '1 finding (1 error) in 2 files. 1 suppressed. 1 file not fully scanned.');
    assert.ok(lines.includes('    http_tokens = "required"'));
  });

  test('JUnit escapes texts', () => {
    const xml = junitReport(report());
    assert.match(
      xml,
      /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<testsuites name="imdswatch scan" tests="2" failures="1" errors="1">/,
    );
    assert.match(xml, /It lets &#60;IMDSv1&#62; calls, &#34;all&#34;/);
    assert.match(
      junitReport({ findings: [], problems: [], counts: { ...COUNTS, known: 0 } }),
      /tests="1" failures="0"/,
    );
  });

  test('workflow commands escape texts and properties', () => {
    const text = githubReport(report('a,b:c.tf'));
    assert.match(
      text,
      /^::error file=a%2Cb%3Ac\.tf,line=3,endLine=3,col=3,endColumn=27,title=imdsv1-allowed::It lets .*100%25\.%0ARequire tokens\.%0A/,
    );
    assert.match(text, /\n::warning file=a b\/broken\.tf,title=not scanned::/);
  });

  test('Markdown escapes cells', () => {
    assert.match(
      markdownReport(report()),
      /\| error \| infra\/main\.tf:3 \| imdsv1-allowed \| aws\\_instance\.web \| It lets \\<IMDSv1\\> calls, "all", of them \\\| through/,
    );
  });

  test('a long line is shown around the place', () => {
    const file = SourceFile.fromText('x.js', `${'a'.repeat(5000)}HERE${'b'.repeat(5000)}\n`);
    const made = makeReport(
      { findings: [finding(file, 'HERE')], problems: [], counts: COUNTS },
      () => file,
      new Set(),
      (line) => line,
    );
    const [line] = made.findings[0]!.code;
    assert.ok(line!.text.length <= 210);
    assert.equal(line!.text.slice(line!.marked!.from, line!.marked!.to), 'HERE');
  });

  test('any text keeps each form whole', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 40 }),
        fc.string({ maxLength: 20 }),
        (text, path) => {
          const file = SourceFile.fromText(path, `HERE${text}`);
          const one = finding(file, 'HERE', { message: text, subject: text, remedy: text });
          const made = makeReport(
            { findings: [one], problems: [{ path, message: text }], counts: COUNTS },
            () => file,
            new Set(),
            (line) => line,
          );
          assert.equal(githubReport(made).split('\n').length, 3);
          assert.ok(
            !/<(?!\/?testsuites?[ >]|\/?testcase[ >]|\/?failure[ >]|error |\?xml )/.test(junitReport(made)),
          );
          assert.equal(markdownReport(made).trimEnd().split('\n').length, 8);
          JSON.parse(JSON.stringify(sarifLog(made, '1.0.0')));
          textReport(made, { colour: true, width: 60 });
        },
      ),
      { numRuns: 200 },
    );
  });
});
