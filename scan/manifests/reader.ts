/** Reads manifests, lock files and SBOMs for clients that speak IMDSv1 only, or that fall back to it. */
import { basename, dirname } from 'node:path/posix';
import { CLIENTS } from '../../known_clients/table.ts';
import type { Finding, Problem } from '../finding.ts';
import type { Reader } from '../reader.ts';
import type { SourceFile } from '../source_file.ts';
import type { Dependency } from './dependency.ts';
import { judgeDependency } from './judge.ts';
import { manifestKind } from './kinds.ts';

/** The last part of a package's name is in every file that has the package, in whatever form. */
const NEEDLES = [
  ...new Set(
    CLIENTS.flatMap(({ packages }) =>
      packages.flatMap(({ name, ecosystem }) => {
        // A `*` at its end stands for the packages of single services.
        const last = /[^/:]+$/.exec(name.replace(/[/:]?\*$/, ''))![0];
        return ecosystem === 'nuget' || ecosystem === 'pypi'
          ? [last, last.toLowerCase(), last.replaceAll('-', '_')]
          : [last];
      }),
    ),
  ),
];

export const manifestsReader: Reader = {
  name: 'manifests',
  takes(candidate) {
    const kind = manifestKind(candidate.path);
    if (kind === null || !NEEDLES.some((needle) => candidate.contains(needle))) return false;
    return (
      kind.name !== 'SBOM' ||
      ['"bomFormat"', '"spdxVersion"', '"SpdxDocument"'].some((one) => candidate.contains(one))
    );
  },
  read(files, { list }) {
    const findings: Finding[] = [];
    const problems: Problem[] = [];
    let resources = 0;
    for (const file of files) {
      const kind = manifestKind(file.path);
      if (kind === null) continue;
      const lock =
        kind.lockedBy === undefined
          ? undefined
          : list(dirname(file.path)).find((path) => kind.lockedBy!.includes(basename(path)));
      if (lock !== undefined) continue;
      const dependencies = kind.read(file.text);
      if (dependencies === null) {
        problems.push({
          path: file.path,
          message: `This is no valid ${kind.name}. Its dependencies were not judged.`,
        });
        continue;
      }
      resources += dependencies.length;
      for (const finding of findingsOf(file, dependencies)) findings.push(finding);
    }
    return { findings, problems, resources };
  },
};

/** One finding for each release: a lock file may hold copies of it. */
function* findingsOf(file: SourceFile, dependencies: readonly Dependency[]): Generator<Finding> {
  const known = new Set<string>();
  for (const dependency of dependencies) {
    const judged = judgeDependency(dependency);
    if (judged === null) continue;
    const { name, version, range, start, end, scopeStart, scopeEnd } = dependency;
    const subject = `${name} ${version ?? range ?? ''}`.trim();
    if (known.has(subject)) continue;
    known.add(subject);
    yield {
      rule: judged.rule,
      level: judged.level,
      path: file.path,
      range: file.range(start, end),
      scope: file.range(scopeStart, scopeEnd),
      subject,
      message: judged.message,
      evidence:
        judged.source === null
          ? []
          : [{ subject: name, says: 'is judged by the table of known clients', source: judged.source }],
      remedy: judged.remedy,
      elsewhere: [],
      // The release is left out: an update that does not help is the same finding.
      identity: `${dependency.ecosystem} ${name}`,
    };
  }
}
