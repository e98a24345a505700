/**
 * What to tell the team that owns a workload. A token request that failed just before a call without a token means a client that
 * speaks IMDSv2 and could not; none means one that did not try.
 */
import type { HostFacts } from '../../protocol/call.ts';
import type { Advice, AdviceKind } from '../contract/advice.ts';
import type { CountedCalls, Identity } from '../store/store.ts';
import { HOP_LIMIT_PAGE, IMDSV2_PAGE, type Step, say, shell } from './clients/client.ts';
import { type Evidence, evidenceOf } from './clients/evidence.ts';
import { tokenSnippet } from './clients/snippets.ts';
import { compareVersions } from './clients/version.ts';
import type { Tally } from './counts.ts';
import { ADVISED_HOP_LIMIT, commandLines, hopLimitCommand } from './enforce_command.ts';

export interface AdviceQuestion {
  identity: Identity;
  kinds: readonly CountedCalls[];
  calls: Tally;
  /** Where it runs; commands are made for these. */
  hosts: readonly HostFacts[];
  /** Asked for without a token, where that was looked up. */
  paths: readonly string[];
}

export function adviceOn(question: AdviceQuestion): Advice {
  const { identity, kinds, calls, paths } = question;
  const evidence = evidenceOf(identity, kinds, calls, paths);
  const kind = kindOf(question, evidence);
  const { client, versions } = evidence;
  const isTokenPage = kind === 'hop_limit' || kind === 'token_refused';
  return {
    kind,
    client: client?.name ?? evidence.library,
    versions_seen: versions,
    minimum_version: client?.minimum ?? null,
    fallback_off_since: client?.fallbackOffSince ?? null,
    headline: headlineOf(kind, question, evidence),
    explanation: explanationOf(kind, question, evidence),
    steps: stepsOf(kind, question, evidence),
    source: isTokenPage ? HOP_LIMIT_PAGE : (client?.source ?? (calls.v1 > 0 ? IMDSV2_PAGE : null)),
  };
}

function kindOf({ identity, kinds, calls }: AdviceQuestion, evidence: Evidence): AdviceKind {
  if (calls.v1 === 0) return calls.blocked > 0 ? 'unblock' : 'none';
  if (calls.plainV1 === 0) {
    if (calls.fallbackUnanswered > 0) return 'hop_limit';
    return calls.fallbackRefused > 0 ? 'token_refused' : 'rejected';
  }
  return clientKind(identity, kinds, evidence);
}

/** What a client that asked without a token, of its own accord, needs. */
function clientKind(identity: Identity, kinds: readonly CountedCalls[], evidence: Evidence): AdviceKind {
  const { client, library, language, versions } = evidence;
  if (client === null) {
    return library !== null || (identity.attributed && language !== null) ? 'raw_http' : 'unknown';
  }
  if (client.tokens === 'never' || isMetadataService(kinds, evidence)) return 'replace';
  if (client.tokens === 'since' && (versions.length === 0 || isOlder(versions[0]!, client.minimum!))) {
    return 'upgrade';
  }
  return client.fallsBack === true ? 'configure' : 'unknown';
}

/**
 * `AWS.MetadataService.request()` of SDK for JavaScript v2 never asks for a token, in its last release too (2.1693.0, measured);
 * credentials are fetched another way.
 */
function isMetadataService(kinds: readonly CountedCalls[], { client, versions }: Evidence): boolean {
  return (
    client?.id === 'aws-sdk-js-v2' &&
    versions.length > 0 &&
    !isOlder(versions[0]!, client.minimum!) &&
    kinds.some(
      ({ version, category, fallback }) =>
        version === 1 && fallback === null && category !== 'credentials' && category !== 'role-list',
    )
  );
}

/** What is no version is not known to be older. */
function isOlder(version: string, minimum: string): boolean {
  return (compareVersions(version, minimum) ?? 0) < 0;
}

function headlineOf(kind: AdviceKind, question: AdviceQuestion, evidence: Evidence): string {
  const { client, versions } = evidence;
  const name = client?.name ?? 'It';
  switch (kind) {
    case 'upgrade':
      return versions.length === 0
        ? `Update ${name} to ${client!.minimum} or later: it calls IMDSv1.`
        : `Update ${name} from ${versions[0]} to ${client!.minimum} or later: ${versions[0]} speaks IMDSv1 only.`;
    case 'replace':
      return client!.tokens === 'never'
        ? `Replace ${name}: no release of it speaks IMDSv2.`
        : `Replace AWS.MetadataService.request() of ${name}: it is always IMDSv1.`;
    case 'hop_limit':
      return question.identity.unit !== null
        ? `Let its token requests through: they get no answer, so ${client?.name ?? 'it'} falls back to IMDSv1.`
        : `Raise the hop limit: token requests get no answer, so ${client?.name ?? 'it'} falls back to IMDSv1.`;
    case 'token_refused':
      return `Find out who refuses its token requests: ${client?.name ?? 'it'} falls back to IMDSv1.`;
    case 'configure':
      return `Turn IMDSv1 off in ${name}: it can do IMDSv2, and calls without a token.`;
    case 'raw_http':
      return `Make its own HTTP requests${evidence.library === null ? '' : ` (${evidence.library})`} ask for a token first.`;
    case 'rejected':
      return `Mend it: tokens are required here, and its calls without one are refused${client === null ? '' : ` (${client.name})`}.`;
    case 'unblock':
      return 'A rule on the host stops its calls: let it through, or stop it from asking.';
    case 'unknown':
      return question.identity.attributed
        ? 'Find out how it asks for metadata: neither its program nor its user agent tells.'
        : 'Find out which process this is: only its source address is known.';
    case 'none':
      return 'Nothing to do: it uses IMDSv2 only.';
  }
}

function explanationOf(kind: AdviceKind, question: AdviceQuestion, evidence: Evidence): string {
  const { calls } = question;
  const { client, mayBe } = evidence;
  const said: string[] = [];
  switch (kind) {
    case 'hop_limit':
      said.push(
        'Just before, it asked for a token and got no answer: it speaks IMDSv2. Only the answer to a token request has a limited number of hops (1 unless set), which does not reach through the network of a container or a proxy; a call without a token gets through.',
      );
      if (question.identity.unit !== null) {
        said.push(
          'It runs on the host itself, where one hop is enough: look for a local rule or proxy first.',
        );
      }
      break;
    case 'token_refused':
      said.push(
        'Just before, it asked for a token and was refused: it speaks IMDSv2. A proxy for metadata (kube2iam and its like), a header X-Forwarded-For or a switched-off endpoint refuse token requests.',
      );
      break;
    case 'configure':
      said.push(
        client!.id === 's3fs'
          ? 'No failed token request preceded its calls without a token: it makes them anyway.'
          : 'No failed token request preceded its calls without a token: it can have been told to use IMDSv1, or have decided for it after a token request that failed earlier.',
      );
      break;
    case 'replace':
    case 'upgrade':
      said.push('No token request preceded its calls without a token: it does not try.');
      break;
    case 'raw_http':
      said.push(
        'It asks by plain HTTP without a token, and no token request preceded: its own code or a script does it, not an SDK of AWS.',
      );
      if (evidence.language === 'shell') {
        said.push('A script that goes on with an empty token when its token request failed looks the same.');
      }
      break;
    case 'rejected':
      said.push('Every call without a token was answered 401: the instance requires tokens already.');
      break;
    case 'unblock':
      said.push('Its connections never left the host, so nothing was asked and no version was seen.');
      break;
    case 'unknown':
      said.push(
        client === null
          ? 'Nothing that was seen tells which SDK or tool it is.'
          : `${client.name} is not known to call IMDSv1; some other code in it, or a release that was not looked at, does.`,
      );
      break;
    case 'none':
      break;
  }
  if (calls.plainV1 > 0 && calls.fallbackUnanswered > 0) {
    said.push(
      'Some of its calls followed a token request that got no answer: the hop limit is in the way too.',
    );
  }
  if (mayBe.length > 0 && calls.v1 > 0) {
    said.push(`The user agent is also that of ${mayBe.map(({ name }) => name).join(', ')}.`);
  }
  if (calls.v1 > 0 && client !== null) said.push(...client.notes);
  return said.join(' ');
}

function stepsOf(kind: AdviceKind, question: AdviceQuestion, evidence: Evidence): Step[] {
  const { identity, calls, hosts } = question;
  const { client } = evidence;
  switch (kind) {
    case 'none':
      return [];
    case 'unblock':
      return [
        shell('See which rule it is.', 'nft list ruleset; iptables -S OUTPUT; ip route get 169.254.169.254'),
      ];
    case 'hop_limit': {
      const raise = {
        text: `Raise the hop limit to ${ADVISED_HOP_LIMIT} on each of its instances.`,
        ...hopLimitCode(hosts),
      };
      const look = shell(
        'See whether a local rule or a proxy takes the answer to the token request.',
        'nft list ruleset; iptables -t nat -S',
      );
      const first = identity.unit !== null ? [look, raise] : [raise];
      return [...first, ...fallbackOff(evidence)];
    }
    case 'token_refused':
      return [
        shell('See whether a rule sends metadata calls to a proxy.', 'nft list ruleset; iptables -t nat -S'),
        say('Update the proxy to a release that passes token requests on, or take it out.'),
        ...fallbackOff(evidence),
      ];
    case 'upgrade':
      return [...client!.upgrade, ...client!.fallbackOff];
    case 'replace':
      return client!.tokens === 'never'
        ? [...client!.upgrade]
        : [
            shell(
              'Use the metadata client of AWS SDK v3 in its place.',
              'npm install @aws-sdk/ec2-metadata-service',
            ),
          ];
    case 'configure':
      return calls.fallbackUnanswered > 0
        ? [{ text: 'Raise the hop limit first.', ...hopLimitCode(hosts) }, ...fallbackOff(evidence)]
        : fallbackOff(evidence);
    case 'raw_http':
      return [tokenSnippet(evidence.language, evidence.library), ...replacements(evidence)];
    case 'rejected': {
      const underlying = clientKind(identity, question.kinds, evidence);
      return stepsOf(underlying, question, evidence);
    }
    case 'unknown':
      return identity.attributed
        ? [
            say('Ask its team which SDK it is built with, or look at its dependencies.'),
            tokenSnippet(evidence.language, null),
          ]
        : [
            shell(
              'Watch the host live while it calls; a container behind its own network shows by its address.',
              'sudo imdswatch watch',
            ),
            say(
              'See that the agent runs with its eBPF program: without it, short-lived processes are not found.',
            ),
          ];
  }
}

/** Of a client that speaks IMDSv2 already: the setting, after an update where its release does not have it. */
function fallbackOff({ client, versions, botocoreVersions }: Evidence): Step[] {
  if (client === null) return [];
  const since = client.id === 'boto3' ? '1.32.4' : client.fallbackOffSince;
  const seen = client.id === 'boto3' ? botocoreVersions : versions;
  const lacksIt = since !== null && seen.length > 0 && isOlder(seen[0]!, since);
  return [...(lacksIt ? client.upgrade : []), ...client.fallbackOff];
}

function replacements({ mayBe }: Evidence): Step[] {
  return mayBe
    .filter(({ tokens }) => tokens === 'never')
    .map(({ name, upgrade }) => ({
      text: `If it is ${name}, no release of which speaks IMDSv2: ${lowerFirst(upgrade[0]!.text)}`,
      code: upgrade[0]!.code,
      language: upgrade[0]!.language,
    }));
}

function hopLimitCode(hosts: readonly HostFacts[]): Pick<Step, 'code' | 'language'> {
  const code = commandLines(hosts.map((host) => hopLimitCommand(host, ADVISED_HOP_LIMIT)));
  return {
    code:
      code ??
      `aws ec2 modify-instance-metadata-options --instance-id INSTANCE --http-put-response-hop-limit ${ADVISED_HOP_LIMIT}`,
    language: 'shell',
  };
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
