/** What is known of one SDK or tool that asks the metadata service. */
import type { Advice } from '../../contract/advice.ts';

export type Language = NonNullable<Advice['steps'][number]['language']>;
export type Step = Advice['steps'][number];

/**
 * `since`: from `minimum` on. `always`: no release without it is known. `never`: no release has it. `own_code`: an HTTP library or
 * program, which sends what it is told to.
 */
export type TokenSupport = 'since' | 'always' | 'never' | 'own_code';

export interface Client {
  id: string;
  name: string;
  tokens: TokenSupport;
  /** First release that speaks IMDSv2, for `since`. */
  minimum: string | null;
  /** Whether it calls without a token when its token request fails. Null: not verified. */
  fallsBack: boolean | null;
  /** First release with a setting against that; null where there is none, or its release was not verified. */
  fallbackOffSince: string | null;
  /** How it is set. */
  fallbackOff: Step[];
  /** What an update is called for those who do it. */
  upgrade: Step[];
  /** What its team should know besides: sentences. */
  notes: string[];
  language: Language;
  source: string | null;
}

export function shell(text: string, code: string): Step {
  return { text, code, language: 'shell' };
}

export function say(text: string): Step {
  return { text, code: null, language: null };
}

/** Source: AWS SDKs and Tools Reference Guide, "IMDS client" settings. */
export const SDK_SETTINGS_PAGE =
  'https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html';
/** Source of minimum versions: EC2 user guide. */
export const MINIMUM_VERSIONS_PAGE =
  'https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/use-a-supported-sdk-version-for-imdsv2.html';
export const HOP_LIMIT_PAGE =
  'https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html';
export const IMDSV2_PAGE =
  'https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html';

export const SHARED_FALLBACK_OFF: Step[] = [
  shell(
    'Then turn the IMDSv1 fallback off in its environment, so that it can never come back.',
    'AWS_EC2_METADATA_V1_DISABLED=true',
  ),
];
