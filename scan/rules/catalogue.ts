/** All rules: their ids, what they mean, and the ids of the same rule in other tools. */
import type { Level } from '../level.ts';

export interface RuleDescription {
  id: RuleId;
  /** Short name, for tables and SARIF. */
  title: string;
  /** Whole sentences: what the rule looks for and why. */
  text: string;
  level: Level;
  /** Ids of the same check elsewhere. */
  elsewhere: readonly string[];
}

export type RuleId = keyof typeof RULES;

/** Ids under which other scanners report instances that answer IMDSv1. */
const TOKENS_ELSEWHERE = [
  'KICS:c306ac53-ee5b-41d3-86a9-0fd2722b4e67',
  'KICS:a4f5f706-80fd-4c96-9a24-6ab317d33d24',
  'KICS:b9ef8c0e-1392-4df4-aa84-2e0f95681c75',
  'Datadog:terraform/imdsv1_is_enabled',
  'CKV_AWS_79',
  'AWS-0028',
  'AWS-0130',
  'EC2.8',
  'EC2.170',
  'AutoScaling.3',
] as const;

const RULES = {
  'imdsv1-allowed': {
    title: 'IMDSv1 is allowed',
    text: 'The code lets the instance metadata service answer requests without a session token.',
    level: 'error',
    elsewhere: TOKENS_ELSEWHERE,
  },
  'imdsv1-allowed-by-default': {
    title: 'IMDSv1 is allowed by a default',
    text: 'The code says nothing about session tokens, and the default that applies allows requests without one.',
    level: 'warning',
    elsewhere: TOKENS_ELSEWHERE,
  },
  'imdsv1-unknown': {
    title: 'It is unknown whether IMDSv1 is allowed',
    text: 'The effective value of HttpTokens cannot be computed from the code. The reason is stated.',
    level: 'warning',
    elsewhere: TOKENS_ELSEWHERE,
  },
  'imdsv2-by-default': {
    title: 'Session tokens are required by a default only',
    text: 'The effective value is "required", but only because of a default. The default and its source are stated.',
    level: 'note',
    elsewhere: TOKENS_ELSEWHERE,
  },
  'hop-limit-too-low': {
    title: 'Hop limit is too low for containers',
    text: 'Answers do not reach containers behind a bridge (2 hops) or an overlay network (3 hops).',
    level: 'warning',
    elsewhere: [],
  },
  'hop-limit-too-high': {
    title: 'Hop limit is higher than needed',
    text: 'A higher hop limit lets answers travel to containers that do not need them.',
    level: 'note',
    elsewhere: ['CKV_AWS_341'],
  },
  'account-default-allows-imdsv1': {
    title: 'The account default allows IMDSv1',
    text: 'New instances of this account and region answer IMDSv1 wherever nothing else decides.',
    level: 'warning',
    elsewhere: [],
  },
  'image-allows-imdsv1': {
    title: 'The image does not ask for session tokens',
    text: 'An image with ImdsSupport v2.0 makes new instances require session tokens by default.',
    level: 'note',
    elsewhere: [],
  },
  'imdsv1-call': {
    title: 'The code calls IMDSv1',
    text: 'The code asks the metadata address without a session token.',
    level: 'error',
    elsewhere: [],
  },
  'imdsv1-client': {
    title: 'A dependency calls IMDSv1',
    text: 'A pinned client version only speaks IMDSv1.',
    level: 'error',
    elsewhere: [],
  },
  'imdsv1-fallback': {
    title: 'Falls back to IMDSv1',
    text: 'A pinned client version or a script asks for a token, and calls IMDSv1 when it gets none.',
    level: 'note',
    elsewhere: [],
  },
  'suppression-expired': {
    title: 'A suppression has expired',
    text: 'A suppression comment of imdswatch has an end date that has passed.',
    level: 'warning',
    elsewhere: [],
  },
} as const satisfies Record<string, Omit<RuleDescription, 'id'>>;

export const RULE_IDS = Object.keys(RULES) as RuleId[];

/** Returns the description of a rule. */
export function describeRule(id: RuleId): RuleDescription {
  return { id, ...RULES[id] };
}
