/** Writes SARIF 2.1.0 (OASIS standard, 27 March 2020, with errata 01). */
import { describeRule, RULE_IDS } from '../rules/catalogue.ts';
import type { Range } from '../source_file.ts';
import { FINGERPRINT_NAME } from './baseline.ts';
import type { Report, ReportedFinding } from './reported.ts';

const SCHEMA = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';

/** `version` is that of imdswatch. */
export function sarifLog({ findings, problems }: Report, version: string): object {
  return {
    $schema: SCHEMA,
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'imdswatch',
            semanticVersion: version,
            rules: RULE_IDS.map((id) => {
              const { title, text, level, elsewhere } = describeRule(id);
              return {
                id,
                name: id.replace(/(?:^|-)(\w)/g, (_, letter: string) => letter.toUpperCase()),
                shortDescription: { text: `${title}.` },
                fullDescription: { text },
                defaultConfiguration: { level },
                help: { text },
                properties: { tags: ['security', 'imds'], elsewhere },
              };
            }),
          },
        },
        columnKind: 'utf16CodeUnits',
        invocations: [
          {
            executionSuccessful: true,
            toolExecutionNotifications: problems.map((problem) => ({
              level: 'warning',
              message: { text: problem.message },
              locations: [location(problem.path, problem.range ?? null)],
            })),
          },
        ],
        results: findings.map(result),
      },
    ],
  };
}

function result({ finding, fingerprint, replacements }: ReportedFinding): object {
  const { rule, level, path, range, scope, message, remedy, evidence, fix } = finding;
  const related = evidence.filter((one) => one.path !== undefined && one.range !== undefined);
  return {
    ruleId: rule,
    ruleIndex: RULE_IDS.indexOf(rule),
    level,
    message: { text: `${message}\n${remedy}` },
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: uriOf(path) },
          region: region(range),
          contextRegion: { startLine: scope.start.line, endLine: Math.max(scope.end.line, range.end.line) },
        },
        logicalLocations: [{ fullyQualifiedName: finding.subject }],
      },
    ],
    ...(related.length === 0
      ? {}
      : {
          relatedLocations: related.map((one, id) => ({
            id,
            message: { text: `${one.subject} ${one.says}.` },
            ...location(one.path!, one.range!),
          })),
        }),
    partialFingerprints: { [FINGERPRINT_NAME]: fingerprint },
    ...(fix === undefined || replacements.length === 0
      ? {}
      : {
          fixes: [
            {
              description: { text: fix.summary },
              artifactChanges: [...Map.groupBy(replacements, (one) => one.path)].map(([changed, edits]) => ({
                artifactLocation: { uri: uriOf(changed) },
                replacements: edits.map((edit) => ({
                  deletedRegion: region(edit.range),
                  insertedContent: { text: edit.text },
                })),
              })),
            },
          ],
        }),
  };
}

function location(path: string, range: Range | null): object {
  return {
    physicalLocation: {
      artifactLocation: { uri: uriOf(path) },
      ...(range === null ? {} : { region: region(range) }),
    },
  };
}

function region({ start, end }: Range): object {
  return { startLine: start.line, startColumn: start.column, endLine: end.line, endColumn: end.column };
}

/** A relative path as a URI reference (RFC 3986): a colon in its first part would be read as a scheme. */
function uriOf(path: string): string {
  const encoded = path
    .split('/')
    .map((part) => encodeURIComponent(part).replaceAll('%40', '@'))
    .join('/');
  return path.startsWith('/') ? `file://${encoded}` : encoded;
}
