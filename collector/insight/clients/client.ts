/** Facts about one SDK or tool that calls the metadata service. */
import type { Advice } from '../../contract/advice.ts';

export type Language = NonNullable<Advice['steps'][number]['language']>;
export type Step = Advice['steps'][number];

/**
 * Releases that send tokens. `since`: those from `minimum` on. `always`: all that are known. `never`: none.
 * `own_code`: the client is an HTTP library or program, and its user decides.
 */
export type TokenSupport = 'since' | 'always' | 'never' | 'own_code';

export interface Client {
  id: string;
  name: string;
  tokens: TokenSupport;
  /** First release that speaks IMDSv2, for `since`. */
  minimum: string | null;
  /** True if it calls without a token after its token request failed. Null: not verified. */
  fallsBack: boolean | null;
  /**
   * First release with a setting that prevents this. Null if there is none, or if its release was not
   * verified.
   */
  fallbackOffSince: string | null;
  /** Steps that set it. */
  fallbackOff: Step[];
  /** Steps of an update. */
  upgrade: Step[];
  /** Sentences about anything else that its team should know. */
  notes: string[];
  language: Language;
  source: string | null;
}

export function shellStep(text: string, code: string): Step {
  return { text, code, language: 'shell' };
}

export function textStep(text: string): Step {
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
  shellStep(
    'Then turn the IMDSv1 fallback off in its environment, so that it can never come back.',
    'AWS_EC2_METADATA_V1_DISABLED=true',
  ),
];
