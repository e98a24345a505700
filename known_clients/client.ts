/** Facts about one SDK or tool that calls the metadata service. */
import { type Language, type Step, shellStep } from './step.ts';

/** Releases that ask for a token. `since`: those from `minimum` on. `always`: all that are known. `never`: none. */
export type TokenSupport = 'since' | 'always' | 'never';

/** Describes how releases of one thing behave. Versions are in the numbering of that thing. */
export interface ReleaseFacts {
  tokens: TokenSupport;
  /** First release that asks for a token, for `since`; null otherwise. */
  minimum: string | null;
  /**
   * True if it calls without a token after its token request failed, unless told otherwise. Null: not
   * verified.
   */
  fallsBack: boolean | null;
  /**
   * First release with a setting that prevents this. Null if there is none, or if its release was not
   * verified.
   */
  fallbackOffSince: string | null;
  /** First release that never calls without a token, whatever its settings. Null if none is known. */
  neverFallsBackSince: string | null;
}

/** Package registries by the name that their manifests use. */
export type Ecosystem = 'npm' | 'pypi' | 'go' | 'maven' | 'gem' | 'composer' | 'nuget' | 'cargo';

/** A package whose release decides how the client behaves. */
export interface ClientPackage extends ReleaseFacts {
  ecosystem: Ecosystem;
  /**
   * Name in a manifest: `@scope/name`, `group:artifact`, a Go module path, `vendor/name`. A `*` at its end
   * stands for any text, for the packages of single services that are released together.
   */
  name: string;
  /** Releases of the package that are this client: from `from` on, and before `below`. */
  from: string | null;
  below: string | null;
}

/** A use in source code that never has a token, whatever the release. */
export interface CodeCall {
  language: Language;
  /** Text that is in every file with the use, for a quick test. */
  needle: string;
  pattern: RegExp;
  /** Sentence that says why there is no token. */
  why: string;
}

export interface Client extends ReleaseFacts {
  id: string;
  name: string;
  language: Language;
  /** True for an SDK that is built into programs, whose users may not be able to update it. */
  isBuiltIn: boolean;
  /** Patterns of user agents. Group 1 is the version, where there is one. */
  userAgents: readonly RegExp[];
  /** Patterns that are compared with the executable, the script and the image's repository. */
  programs: readonly RegExp[];
  packages: readonly ClientPackage[];
  /** Uses in source code that never have a token. */
  codeCalls?: readonly CodeCall[];
  /** Steps that turn the fallback off. */
  fallbackOff: readonly Step[];
  /** Replacement of a client that gets no updates any more, although its last releases request a token. */
  successor: string | null;
  /** Steps of an update. */
  upgrade: readonly Step[];
  /** Sentences about anything else that its team should know. */
  notes: readonly string[];
  /** The page that the advice links to. */
  source: string | null;
  /** References for the facts: where each was read or measured. */
  sources: readonly string[];
}

/** Source: AWS SDKs and Tools Reference Guide, "IMDS client" settings. */
export const SDK_SETTINGS_PAGE =
  'https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html';
/** Source of minimum versions: EC2 user guide. */
export const MINIMUM_VERSIONS_PAGE =
  'https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/use-a-supported-sdk-version-for-imdsv2.html';

export const SHARED_FALLBACK_OFF: readonly Step[] = [
  shellStep(
    'Then turn the IMDSv1 fallback off in its environment, so that it can never come back.',
    'AWS_EC2_METADATA_V1_DISABLED=true',
  ),
];

/** Returns the facts of a package. What is not given is not known, or does not apply. */
export function packageOf(
  ecosystem: Ecosystem,
  name: string,
  facts: Partial<Omit<ClientPackage, 'ecosystem' | 'name'>> & Pick<ClientPackage, 'tokens'>,
): ClientPackage {
  return {
    ecosystem,
    name,
    from: null,
    below: null,
    minimum: null,
    fallsBack: facts.tokens === 'never' ? false : null,
    fallbackOffSince: null,
    neverFallsBackSince: null,
    ...facts,
  };
}

/** Returns an SDK of AWS. What is not given is as with most of them. */
export function sdk(known: Partial<Client> & Pick<Client, 'id' | 'name' | 'language' | 'sources'>): Client {
  return {
    tokens: 'since',
    minimum: null,
    fallsBack: true,
    fallbackOffSince: null,
    neverFallsBackSince: null,
    isBuiltIn: false,
    userAgents: [],
    programs: [],
    packages: [],
    fallbackOff: SHARED_FALLBACK_OFF,
    successor: null,
    upgrade: [],
    notes: [],
    source: known.tokens === 'never' ? null : MINIMUM_VERSIONS_PAGE,
    ...known,
  };
}
