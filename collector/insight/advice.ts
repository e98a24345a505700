/**
 * Advice for the team that owns a workload. If a token request failed just before a call without a token, the
 * client supports IMDSv2 and could not use it. If there was no token request, the client did not try.
 */
import { tokenSnippet } from '../../known_clients/snippets.ts';
import { type Step, shellStep, textStep } from '../../known_clients/step.ts';
import { compareVersions } from '../../known_clients/version.ts';
import type { HostFacts } from '../../protocol/call.ts';
import type { Advice, AdviceKind } from '../contract/advice.ts';
import type { CountedCalls, Identity } from '../store/store.ts';
import type { Tally } from './counts.ts';
import { ADVISED_HOP_LIMIT, commandLines, hopLimitCommand } from './enforce_command.ts';
import { type Evidence, evidenceOf } from './evidence.ts';

const HOP_LIMIT_PAGE =
  'https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html';
const IMDSV2_PAGE =
  'https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html';

export interface AdviceQuestion {
  identity: Identity;
  kinds: readonly CountedCalls[];
  calls: Tally;
  /** Hosts on which the workload runs. Commands are made for these. */
  hosts: readonly HostFacts[];
  /** Paths that it asked for without a token. Empty where they were not looked up. */
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

/** Returns the advice for a client that made calls without a token of its own accord. */
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
 * Recognises `AWS.MetadataService.request()` of the SDK for JavaScript v2, which never asks for a token, not
 * even in the last release (2.1693.0, measured). That SDK fetches credentials by other code.
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

/** Returns false for a text that is not a version. */
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
        : `Update ${name} from ${versions[0]} to ${client!.minimum} or later: ${versions[0]} supports IMDSv1 only.`;
    case 'replace':
      return client!.tokens === 'never'
        ? `Replace ${name}: no release of it supports IMDSv2.`
        : `Replace AWS.MetadataService.request() of ${name}: it always uses IMDSv1.`;
    case 'hop_limit':
      return question.identity.unit !== null
        ? `Find what blocks its token requests: they get no answer, so ${client?.name ?? 'it'} falls back to IMDSv1.`
        : `Raise the hop limit: token requests get no answer, so ${client?.name ?? 'it'} falls back to IMDSv1.`;
    case 'token_refused':
      return `Find out what refuses its token requests: ${client?.name ?? 'it'} falls back to IMDSv1.`;
    case 'configure':
      return `Turn IMDSv1 off in ${name}: it supports IMDSv2, but calls without a token.`;
    case 'raw_http':
      return `Change its own HTTP requests${evidence.library === null ? '' : ` (${evidence.library})`} so that they ask for a token first.`;
    case 'rejected':
      return `Fix it${client === null ? '' : ` (${client.name})`}: tokens are required here, and its calls without one are refused.`;
    case 'unblock':
      return 'A rule on the host blocks its calls: allow them, or stop the program from making them.';
    case 'unknown':
      return question.identity.attributed
        ? 'Find out how it asks for metadata: neither its program nor its user agent shows that.'
        : 'Find out which process this is: only its source address is known.';
    case 'none':
      return 'Nothing to do: it uses IMDSv2 only.';
  }
}

function explanationOf(kind: AdviceKind, question: AdviceQuestion, evidence: Evidence): string {
  const { calls } = question;
  const { client, mayBe } = evidence;
  const sentences: string[] = [];
  switch (kind) {
    case 'hop_limit':
      sentences.push(
        'It supports IMDSv2: it asked for a token just before, and got no answer. The answer to a token request may pass only a limited number of hops (1 by default), so it does not reach a program behind a container network or a proxy. Answers to calls without a token have no such limit.',
      );
      if (question.identity.unit !== null) {
        sentences.push(
          'It runs on the host itself, where one hop is enough. Look for a local rule or proxy first.',
        );
      }
      break;
    case 'token_refused':
      sentences.push(
        'It supports IMDSv2: it asked for a token just before, and was refused. The usual causes are a metadata proxy (such as kube2iam), a header X-Forwarded-For in the request, or a metadata endpoint that is switched off.',
      );
      break;
    case 'configure':
      sentences.push(
        client!.id === 's3fs'
          ? 'No failed token request came before its calls without a token: it makes them in any case.'
          : 'No failed token request came just before its calls without a token. It may be configured to use IMDSv1, or it may have switched to IMDSv1 after a token request that failed earlier.',
      );
      break;
    case 'replace':
    case 'upgrade':
      sentences.push('No token request came before its calls without a token: it does not ask for one.');
      break;
    case 'raw_http':
      sentences.push(
        'It sends plain HTTP requests without asking for a token first. Its own code or a script does this, not an AWS SDK.',
      );
      if (evidence.language === 'shell') {
        sentences.push(
          'A script looks the same if its token request failed and it went on with an empty token.',
        );
      }
      break;
    case 'rejected':
      sentences.push(
        'Every call without a token was answered with 401: the instance requires tokens already.',
      );
      break;
    case 'unblock':
      sentences.push(
        'Its connections never left the host. No request was sent, so the version that it uses is not known.',
      );
      break;
    case 'unknown':
      sentences.push(
        client === null
          ? 'Nothing that was seen shows which SDK or tool it uses.'
          : `${client.name} is not known to call IMDSv1. Other code in the program may do so, or a release that was not examined.`,
      );
      break;
    case 'none':
      break;
  }
  if (calls.plainV1 > 0 && calls.fallbackUnanswered > 0) {
    sentences.push(
      'Some of its calls followed a token request that got no answer: raise the hop limit as well.',
    );
  }
  if (mayBe.length > 0 && calls.v1 > 0) {
    sentences.push(`This user agent is also sent by ${mayBe.map(({ name }) => name).join(', ')}.`);
  }
  if (calls.v1 > 0 && client !== null) sentences.push(...client.notes);
  return sentences.join(' ');
}

function stepsOf(kind: AdviceKind, question: AdviceQuestion, evidence: Evidence): Step[] {
  const { identity, calls, hosts } = question;
  const { client } = evidence;
  switch (kind) {
    case 'none':
      return [];
    case 'unblock':
      return [
        shellStep('Find the rule.', 'nft list ruleset; iptables -S OUTPUT; ip route get 169.254.169.254'),
      ];
    case 'hop_limit': {
      const raise = {
        text: `Raise the hop limit to ${ADVISED_HOP_LIMIT} on each of its instances.`,
        ...hopLimitCode(hosts),
      };
      const look = shellStep(
        'Check whether a local rule or a proxy blocks the answer to the token request.',
        'nft list ruleset; iptables -t nat -S',
      );
      const first = identity.unit !== null ? [look, raise] : [raise];
      return [...first, ...fallbackOff(evidence)];
    }
    case 'token_refused':
      return [
        shellStep(
          'Check whether a rule redirects metadata calls to a proxy.',
          'nft list ruleset; iptables -t nat -S',
        ),
        textStep('Update the proxy to a release that forwards token requests, or remove it.'),
        ...fallbackOff(evidence),
      ];
    case 'upgrade':
      return [...client!.upgrade, ...client!.fallbackOff];
    case 'replace':
      return client!.tokens === 'never'
        ? [...client!.upgrade]
        : [
            shellStep(
              'Use the metadata client of AWS SDK v3 instead.',
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
            textStep('Ask its team which SDK it is built with, or look at its dependencies.'),
            tokenSnippet(evidence.language, null),
          ]
        : [
            shellStep(
              'Watch the host live while it calls. The source address shows a container that is behind a network of its own.',
              'sudo imdswatch watch',
            ),
            textStep(
              'Check that the agent runs with its eBPF program. Without it, short-lived processes are not found.',
            ),
          ];
  }
}

/**
 * Returns the setting that turns the fallback off, after an update where the release does not have that
 * setting.
 */
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
      text: `If it is ${name}, no release of it supports IMDSv2: ${lowerFirst(upgrade[0]!.text)}`,
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
