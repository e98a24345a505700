/** Judges dependencies by the table of clients that the advice uses. */
import type { Client, ClientPackage } from '../../known_clients/client.ts';
import { clientOfPackage, judgeRelease } from '../../known_clients/packages.ts';
import type { Step } from '../../known_clients/step.ts';
import { compareVersions } from '../../known_clients/version.ts';
import type { Level } from '../level.ts';
import type { RuleId } from '../rules/catalogue.ts';
import type { Dependency } from './dependency.ts';

export interface JudgedDependency {
  rule: RuleId;
  level: Level;
  message: string;
  remedy: string;
  source: string | null;
}

/** A release later than every fact in the table. */
const NEWEST = '99999999';

/** Returns null for a package that is no client, and for a release that always asks for a token. */
export function judgeDependency(dependency: Dependency): JudgedDependency | null {
  const { ecosystem, name, version, range, below } = dependency;
  // A range is judged by the latest release that it allows: without a lock file that one is installed.
  // A text that is no release, such as `dev-main`, may be the newest one.
  const release = version ?? below?.version ?? NEWEST;
  const known = clientOfPackage(ecosystem, name, compareVersions(release, '0') === null ? NEWEST : release);
  if (known === null) return null;
  const { client, package: facts } = known;
  const judged = version === null ? judgeRange(facts, dependency) : judgeRelease(facts, version);
  const subject =
    version === null ? `${name}${range === '' || range === null ? '' : ` ${range}`}` : `${name} ${version}`;
  const source = client.source ?? client.sources.find((one) => one.startsWith('https:')) ?? null;
  if (judged.asksForToken === false) {
    const verb = version === null ? 'allows only releases that speak IMDSv1 only' : 'only speaks IMDSv1';
    const since =
      facts.minimum === null
        ? `No release of ${name} asks for a token.`
        : `Releases from ${facts.minimum} on ask for a token.`;
    return {
      rule: 'imdsv1-client',
      level: 'error',
      message: `${subject} ${verb}. ${since}`,
      remedy: upgradeText(client, facts),
      source,
    };
  }
  if (judged.asksForToken === null) {
    const message = `It is not known whether ${subject} asks for a token: its release cannot be compared with ${facts.minimum}.`;
    return { rule: 'imdsv1-client', level: 'warning', message, remedy: upgradeText(client, facts), source };
  }
  if (judged.fallsBack === true) {
    const can = judged.canDisableFallback;
    const detail =
      can === true
        ? 'A setting turns that off.'
        : can === false
          ? `This release has no setting that turns it off; ${facts.fallbackOffSince} has one.`
          : 'The first release with a setting that turns it off is not known.';
    const remedy = [...(can === false ? client.upgrade : []), ...client.fallbackOff];
    return {
      rule: 'imdsv1-fallback',
      level: can === false ? 'warning' : 'note',
      message: `${subject} asks for a token, and calls IMDSv1 when that fails. ${detail}`,
      remedy:
        remedy.length === 0
          ? 'Make sure that its token requests are answered: check the hop limit and proxies in between.'
          : stepsText(remedy),
      source,
    };
  }
  return null;
}

function judgeRange(facts: ClientPackage, { range, below }: Dependency) {
  // A property that another file sets.
  if (range?.includes('${') === true) return judgeRelease(facts, null);
  if (below === null) return judgeRelease(facts, NEWEST);
  const judged = judgeRelease(facts, below.version);
  if (below.inclusive || facts.minimum === null) return judged;
  // The bound itself is not allowed.
  return compareVersions(below.version, facts.minimum) === 0 ? { ...judged, asksForToken: false } : judged;
}

function upgradeText({ upgrade }: Client, { minimum, ecosystem, name }: ClientPackage): string {
  if (upgrade.length > 0) return stepsText(upgrade);
  return minimum === null ? `Replace ${name}.` : `Update ${name} (${ecosystem}) to ${minimum} or later.`;
}

function stepsText(steps: readonly Step[]): string {
  return steps.map(({ text, code }) => (code === null ? text : `${text}\n${code}`)).join('\n');
}
