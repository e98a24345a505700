/** The steps of an advice: what the workload's team does, one after the other. */
import { NO_PROXY, tokenSnippet } from '../../known_clients/snippets.ts';
import { type Step, shellStep, textStep } from '../../known_clients/step.ts';
import type { AdviceKind } from '../contract/advice.ts';
import type { AdviceQuestion } from './advice_question.ts';
import { isOnHostItself, isSdk } from './advice_text.ts';
import { type Evidence, isOlder } from './evidence.ts';
import { hopLimitSteps, LOOK_FOR_A_RULE } from './hop_limit.ts';

/** Source: AWS CLI user guide, "Using an HTTP proxy". The effect of the value is measured in the lab. */
const BYPASS_PROXY: Step = shellStep(
  'Set this in the environment of every program that has HTTP_PROXY, in upper and in lower case. A program with a proxy setting of its own, such as the JVM (http.nonProxyHosts), needs the same there.',
  `NO_PROXY=${NO_PROXY} no_proxy=${NO_PROXY}`,
);

const STALE_TOKEN_STEPS: Step[] = [
  textStep('Take a new token before the lifetime of the old one ends, and never keep one in an image.'),
  textStep('Take a new token after a 401, and repeat the request once.'),
  textStep('Check that the token request was answered with 200 before its answer is used as a token.'),
];

/**
 * Returns the steps. `cause` is the kind of advice that the client would get if its calls were not refused; else
 * it is `kind`.
 */
export function stepsOf(
  kind: AdviceKind,
  cause: AdviceKind,
  question: AdviceQuestion,
  evidence: Evidence,
): Step[] {
  const { identity, calls } = question;
  const { client } = evidence;
  switch (kind) {
    case 'none':
    case 'adapts':
      return [];
    case 'stale_token':
      return STALE_TOKEN_STEPS;
    case 'unblock':
      return [
        shellStep('Find the rule.', 'nft list ruleset; iptables -S OUTPUT; ip route get 169.254.169.254'),
      ];
    case 'hop_limit':
      return [...noAnswerSteps(question), ...fallbackOff(evidence)];
    case 'token_refused':
      return [
        shellStep(
          'Check whether a rule redirects metadata calls to a proxy.',
          'nft list ruleset; iptables -t nat -S',
        ),
        textStep('Update the proxy to a release that forwards token requests, or remove it.'),
        {
          ...BYPASS_PROXY,
          text: `If HTTP_PROXY is set in its environment: ${lowerFirst(BYPASS_PROXY.text)}`,
        },
        ...fallbackOff(evidence),
      ];
    case 'upgrade':
      return [...updateSteps(evidence), ...client!.fallbackOff, ...ownRequests(evidence)];
    case 'replace':
      return client!.tokens === 'never'
        ? [...updateSteps(evidence), ...ownRequests(evidence)]
        : [
            shellStep(
              'Use the metadata client of AWS SDK v3 instead.',
              'npm install @aws-sdk/ec2-metadata-service',
            ),
          ];
    case 'configure':
      return calls.fallbackUnanswered > 0
        ? [...noAnswerSteps(question), ...fallbackOff(evidence)]
        : [...fallbackOff(evidence)];
    case 'raw_http':
      return [
        tokenSnippet(evidence.language, evidence.library, evidence.libraryVersion),
        ...replacements(evidence),
      ];
    case 'rejected':
      return stepsOf(cause, cause, question, evidence);
    case 'unknown':
      return unknownSteps(identity.attributed, evidence);
  }
}

/** Returns the steps against token requests without an answer. */
function noAnswerSteps(question: AdviceQuestion): Step[] {
  const isMeasured = question.hops.some(({ hops }) => hops !== null);
  const first = isOnHostItself(question) && !isMeasured ? [LOOK_FOR_A_RULE] : [];
  return [...first, ...hopLimitSteps(question.hops)];
}

function unknownSteps(isAttributed: boolean, evidence: Evidence): Step[] {
  if (evidence.isUserNetwork) {
    return [
      textStep(
        'Find the caller in the container that uses this network: neither NO_PROXY nor an update of the network helps.',
      ),
      tokenSnippet(evidence.language, null),
    ];
  }
  if (evidence.isProxy) {
    return [
      shellStep(
        'Find the clients of the proxy in its access log.',
        "grep -E '169[.]254[.]169[.]254|fd00:ec2::254' ACCESS_LOG",
      ),
      BYPASS_PROXY,
      textStep(
        'If a rule redirects their connections to it, leave 169.254.169.254 and fd00:ec2::254 out of that rule.',
      ),
    ];
  }
  if (evidence.client === null && evidence.program !== null) {
    return [textStep(`Update ${evidence.program.name} to a release whose notes name IMDSv2.`)];
  }
  return isAttributed
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

/**
 * Returns the steps of an update. The users of a program that contains the SDK update the program: they
 * cannot update the SDK in it.
 */
function updateSteps({ client, program, release }: Evidence): readonly Step[] {
  const sdk = `${client!.name}${release!.facts.minimum === null ? '' : ` ${release!.facts.minimum} or later`}`;
  if (program !== null && isSdk(client!.id)) {
    return [
      textStep(
        client!.tokens === 'never'
          ? `Update ${program.name} to a release without ${client!.name}. No release of that SDK supports IMDSv2.`
          : `Update ${program.name} to a release that contains ${sdk}. Its release notes or its go.mod, Gemfile or pom.xml name the SDK.`,
      ),
    ];
  }
  return client!.isBuiltIn
    ? [
        ...client!.upgrade,
        textStep(`If the program is not your own: update it to a release that contains ${sdk}.`),
      ]
    : client!.upgrade;
}

/** Returns what to do if a client that is only probable is not used. */
function ownRequests({ isGuess, language, library, libraryVersion }: Evidence): Step[] {
  if (!isGuess) return [];
  const step = tokenSnippet(language, library, libraryVersion);
  return [
    { ...step, text: 'If it does not use that SDK: ask for a token first, and send it with every request.' },
  ];
}

/**
 * Returns the setting that turns the fallback off, after an update where the release does not have that
 * setting.
 */
function fallbackOff(evidence: Evidence): readonly Step[] {
  const { client, release } = evidence;
  if (client === null || release === null) return [];
  const since = release.facts.fallbackOffSince ?? release.facts.neverFallsBackSince;
  const lacksIt = since !== null && isOlder(release.versions, since);
  const update =
    client.isBuiltIn && evidence.program !== null ? programUpdate(evidence, since) : client.upgrade;
  const needsUpdate = lacksIt || client.fallbackOff.length === 0;
  return [...(needsUpdate ? update : []), ...client.fallbackOff];
}

function programUpdate({ client, program }: Evidence, since: string | null): Step[] {
  return [
    textStep(
      `Update ${program!.name} to a release that contains ${client!.name}${since === null ? '' : ` ${since} or later`}.`,
    ),
  ];
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

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
