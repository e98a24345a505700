/**
 * Advice for the team that owns a workload. If a token request failed just before a call without a token, the
 * client supports IMDSv2 and could not use it. If there was no token request, the client did not try.
 */
import type { Advice, AdviceKind } from '../contract/advice.ts';
import type { CountedCalls, Identity } from '../store/store.ts';
import type { AdviceQuestion } from './advice_question.ts';
import { stepsOf } from './advice_steps.ts';
import { explanationOf, headlineOf, nameOf } from './advice_text.ts';
import type { Tally } from './counts.ts';
import { type Evidence, evidenceOf, isOlder } from './evidence.ts';

const HOP_LIMIT_PAGE =
  'https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html';
const IMDSV2_PAGE =
  'https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html';

export function adviceOn(question: AdviceQuestion): Advice {
  const { identity, kinds, calls, paths } = question;
  const evidence = evidenceOf(identity, kinds, calls, paths);
  const kind = kindOf(question, evidence);
  const { client, versions } = evidence;
  const isTokenPage = kind === 'hop_limit' || kind === 'token_refused';
  return {
    kind,
    client: client === null ? evidence.library : nameOf(evidence),
    versions_seen: versions,
    minimum_version: client?.minimum ?? null,
    fallback_off_since: client?.fallbackOffSince ?? null,
    headline: headlineOf(kind, question, evidence),
    explanation: explanationOf(kind, question, evidence),
    steps: stepsOf(kind, underlyingKind(kind, question, evidence), question, evidence),
    source: isTokenPage ? HOP_LIMIT_PAGE : (client?.source ?? (calls.v1 > 0 ? IMDSV2_PAGE : null)),
  };
}

/** Returns the advice that the cause calls for: calls that are refused have a client as any others. */
function underlyingKind(
  kind: AdviceKind,
  { identity, kinds }: AdviceQuestion,
  evidence: Evidence,
): AdviceKind {
  return kind === 'rejected' ? clientKind(identity, kinds, evidence) : kind;
}

function kindOf({ identity, kinds, calls }: AdviceQuestion, evidence: Evidence): AdviceKind {
  if (calls.v1 === 0) return kindWithoutV1(calls);
  if (calls.plainV1 === 0) {
    if (calls.fallbackUnanswered > 0) return 'hop_limit';
    return calls.fallbackRefused > 0 ? 'token_refused' : 'rejected';
  }
  return clientKind(identity, kinds, evidence);
}

function kindWithoutV1({ refusedTokens, blocked, adaptedV1, renewedTokens }: Tally): AdviceKind {
  if (refusedTokens > 0) return 'stale_token';
  if (blocked > 0) return 'unblock';
  return adaptedV1 + renewedTokens > 0 ? 'adapts' : 'none';
}

/** Returns the advice for a client that made calls without a token of its own accord. */
function clientKind(identity: Identity, kinds: readonly CountedCalls[], evidence: Evidence): AdviceKind {
  const { client, release, library, language, program } = evidence;
  if (evidence.isProxy || evidence.isUserNetwork) return 'unknown';
  if (client === null || release === null) {
    if (program !== null) return 'unknown';
    return library !== null || (identity.attributed && language !== null) ? 'raw_http' : 'unknown';
  }
  if (client.tokens === 'never' || isMetadataService(kinds, evidence)) return 'replace';
  const { facts, versions } = release;
  if (facts.tokens === 'since' && (versions.length === 0 || isOlder(versions, facts.minimum!))) {
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
    !isOlder(versions, client.minimum!) &&
    kinds.some(
      ({ version, category, fallback }) =>
        version === 1 && fallback === null && category !== 'credentials' && category !== 'role-list',
    )
  );
}
