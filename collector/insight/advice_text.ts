/** The sentences of an advice: its headline and its explanation. */
import type { AdviceKind } from '../contract/advice.ts';
import type { AdviceQuestion } from './advice_question.ts';
import { type Evidence, isOlder } from './evidence.ts';
import { advisedHopLimit, isHopLimitEnough } from './hop_limit.ts';

/** Returns the client's name, with the program that contains it. */
export function nameOf({ client, program }: Evidence): string {
  const name = client?.name ?? 'it';
  return client !== null && program !== null && isSdk(client.id) ? `${name} in ${program.name}` : name;
}

/** Tells an SDK from a tool that is updated by itself. */
export function isSdk(id: string): boolean {
  return /^(aws-sdk-|boto|ec2-metadata-service)/.test(id);
}

function upgradeHeadline(evidence: Evidence): string {
  const { client, program, isGuess } = evidence;
  // If client and core are both too old, the client's own release is named, which its team knows.
  const isOwn = client!.tokens === 'since' && isOlder(evidence.versions, client!.minimum!);
  const { facts, versions } = isOwn ? { facts: client!, versions: evidence.versions } : evidence.release!;
  // The decisive release may be that of botocore under boto3 or the AWS CLI.
  const core = facts === client ? '' : ' (its botocore)';
  if (isGuess) {
    return `Update what is probably the ${client!.name} to ${facts.minimum} or later: it calls IMDSv1.`;
  }
  if (program !== null && isSdk(client!.id)) {
    const release = versions.length === 0 ? '' : ` ${versions[0]}`;
    return `Update ${program.name}: it contains ${client!.name}${release}${core}, which supports IMDSv1 only.`;
  }
  if (client!.successor !== null) {
    const release = versions.length === 0 ? 'it calls IMDSv1' : `${versions[0]} supports IMDSv1 only`;
    return `Move from ${client!.name} to ${client!.successor}: ${release}.`;
  }
  return versions.length === 0
    ? `Update ${client!.name} to ${facts.minimum} or later: it calls IMDSv1.`
    : `Update ${client!.name} from ${versions[0]} to ${facts.minimum} or later${core}: ${versions[0]} supports IMDSv1 only.`;
}

export function headlineOf(kind: AdviceKind, question: AdviceQuestion, evidence: Evidence): string {
  const { calls } = question;
  const { client, program } = evidence;
  const name = client === null ? 'It' : nameOf(evidence);
  switch (kind) {
    case 'upgrade':
      return upgradeHeadline(evidence);
    case 'replace':
      if (client!.tokens !== 'never') {
        return `Replace AWS.MetadataService.request() of ${name}: it always uses IMDSv1.`;
      }
      return evidence.isGuess
        ? `Replace what is probably ${name}: no release of it supports IMDSv2.`
        : `${program === null ? 'Replace' : 'Update or replace what contains'} ${client!.name}: no release of it supports IMDSv2.`;
    case 'hop_limit':
      return `${hopLimitHeadline(question)}, so ${client === null ? 'it' : name} falls back to IMDSv1.`;
    case 'token_refused':
      return `Find out what refuses its token requests: ${client === null ? 'it' : name} falls back to IMDSv1.`;
    case 'configure': {
      const pure = client!.neverFallsBackSince;
      return pure !== null && client!.fallbackOff.length === 0
        ? `Update ${name} to ${pure} or later, which never uses IMDSv1: it supports IMDSv2, but calls without a token.`
        : `Turn IMDSv1 off in ${name}: it supports IMDSv2, but calls without a token.`;
    }
    case 'raw_http':
      return `Change its own HTTP requests${evidence.library === null ? '' : ` (${evidence.library})`} so that they ask for a token first.`;
    case 'rejected':
      return `Fix it${client === null ? '' : ` (${client.name})`}: tokens are required here, and its calls without one are refused.`;
    case 'unblock':
      return 'A rule on the host blocks its calls: allow them, or stop the program from making them.';
    case 'unknown':
      if (evidence.isUserNetwork) {
        return 'Find the program in the container behind this network: the network only sends on its calls.';
      }
      if (evidence.isProxy) {
        return 'Find the programs that reach the metadata service through this proxy, and let them bypass it.';
      }
      if (client === null && program !== null) {
        return `Update ${program.name}: it contains an AWS SDK, and calls IMDSv1.`;
      }
      return question.identity.attributed
        ? 'Find out how it asks for metadata: neither its program nor its user agent shows that.'
        : 'Find out which process this is: only its source address is known.';
    case 'stale_token':
      return 'Its token is refused: let it take a new one before the old one expires, and after each 401.';
    case 'adapts':
      return calls.adaptedV1 > 0
        ? 'Nothing breaks: it takes a token when a call without one is refused.'
        : 'Nothing breaks: it took a new token after the old one was refused.';
    case 'none':
      return calls.v2 === 0 && calls.otherCloud > 0
        ? "Nothing to do: it looks for another cloud, and wants nothing of EC2's service."
        : 'Nothing to do: it uses IMDSv2 only.';
  }
}

/** Source: EC2 user guide, "Use the Instance Metadata Service to access instance metadata" (401). */
const STALE_TOKEN = [
  'Calls with a token were answered with 401: its token is refused.',
  'It has expired, comes from another instance, or is no token at all, such as an empty variable or the text of an error page.',
  'These calls are no IMDSv1 calls, and fail whether tokens are required or not.',
];

/** Explains the advice in a few sentences: what was seen, and what it means. */
export function explanationOf(kind: AdviceKind, question: AdviceQuestion, evidence: Evidence): string {
  const { calls } = question;
  const { client, mayBe } = evidence;
  const sentences: string[] = [];
  switch (kind) {
    case 'hop_limit':
      sentences.push(
        'It supports IMDSv2: it asked for a token just before, and got no answer. The answer to a token request may pass only a limited number of hops (1 by default), so it does not reach a program behind a container network or a proxy. Answers to calls without a token have no such limit.',
      );
      if (isOnHostItself(question)) {
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
      if (evidence.isGuess) {
        sentences.push(
          `Its user agent is that of ${evidence.library}. Old releases of the SDK send it too, and it read credentials, which other programs seldom do. If it does not use the SDK, change its own requests.`,
        );
      }
      break;
    case 'raw_http':
      sentences.push('It sends plain HTTP requests without asking for a token first.');
      sentences.push(
        evidence.language === 'shell' && evidence.library !== null
          ? `A script or a program that runs ${evidence.library} does this, not an AWS SDK.`
          : 'Its own code may do this, or an old SDK that sends no user agent of its own.',
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
        evidence.isUserNetwork
          ? 'It speaks for a program in a rootless container, which is not named.'
          : evidence.isProxy
            ? 'It speaks for other programs, and its clients are not named. The answer to a token request may not pass it, and all its clients get the credentials of this instance. Clients send metadata requests to it because of HTTP_PROXY in their environment, or because a rule redirects them.'
            : client === null
              ? evidence.program !== null
                ? `${evidence.program.name} decides how it asks for metadata. Its team cannot change the SDK in it.`
                : 'Nothing that was seen shows which SDK or tool it uses.'
              : `${client.name} is not known to call IMDSv1. Other code in the program may do so, or a release that was not examined.`,
      );
      break;
    case 'stale_token':
      sentences.push(...STALE_TOKEN);
      break;
    case 'adapts':
      if (calls.adaptedV1 > 0) {
        sentences.push(
          'It calls without a token first. Where tokens are required, that call is answered with 401, and it then takes a token and succeeds.',
        );
      }
      break;
    case 'none':
      break;
  }
  if (calls.v1 > 0 && calls.adaptedV1 > 0) {
    sentences.push(
      `Where tokens are required, it was refused with 401 ${calls.adaptedV1 === 1 ? 'once' : `${calls.adaptedV1} times`}, then took a token and succeeded: nothing broke there.`,
    );
  }
  if (calls.v1 > 0 && calls.refusedTokens > 0) sentences.push(...STALE_TOKEN);
  if (calls.plainV1 > 0 && calls.fallbackUnanswered > 0) {
    sentences.push(
      'Some of its calls followed a token request that got no answer: the hop limit may be too low as well.',
    );
  }
  if (mayBe.length > 0 && calls.v1 > 0) {
    sentences.push(`This user agent is also sent by ${mayBe.map(({ name }) => name).join(', ')}.`);
  }
  if (calls.v1 > 0 && evidence.hasClients && !evidence.isProxy) {
    sentences.push('Some of its calls were sent on for other programs, which are not named.');
  }
  if (calls.v1 > 0 && client !== null) sentences.push(...client.notes);
  return sentences.join(' ');
}

/** Returns what is to be done about token requests without an answer. */
function hopLimitHeadline(question: AdviceQuestion): string {
  const hopLimit = advisedHopLimit(question.hops);
  if (isOnHostItself(question) || isHopLimitEnough(question.hops)) {
    return 'Find what blocks its token requests: they get no answer';
  }
  return hopLimit === null
    ? 'Measure how far it is from the service: its token requests get no answer'
    : `Raise the hop limit to ${hopLimit}: token requests get no answer`;
}

/** Returns whether no router is between it and the service: that was measured, or it is a unit of the host. */
export function isOnHostItself({ identity, hops }: AdviceQuestion): boolean {
  const measured = hops.filter((each) => each.hops !== null);
  return measured.length === 0 ? identity.unit !== null : measured.every((each) => each.hops === 0);
}
