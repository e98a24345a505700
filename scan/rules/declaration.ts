/**
 * A declaration is one thing in scanned code that decides how the metadata service of instances answers. It is
 * the same for all tools: readers make declarations, and the rules judge them.
 */
import type { Place, Step } from '../evaluate/value.ts';
import type { ChangeEffect, Fix, HostSelector } from '../finding.ts';

/** One setting. `silent` also stands for a setting that is null, which is then at `place`. */
export type Said<T> =
  | { is: 'silent'; place: Place | null; literal: Place | null; steps: readonly Step[] }
  | { is: 'said'; value: T; place: Place; literal: Place | null; steps: readonly Step[] }
  | { is: 'unknown'; reason: string; place: Place; steps: readonly Step[] };

export const SILENT: Said<never> = { is: 'silent', place: null, literal: null, steps: [] };

export type Tokens = 'required' | 'optional' | 'no-preference';
export type Endpoint = 'enabled' | 'disabled' | 'no-preference';

export interface Settings {
  tokens: Said<Tokens>;
  endpoint: Said<Endpoint>;
  hopLimit: Said<number>;
  /** The block or map that holds them; null when there is none. */
  block: Place | null;
}

/** A launch template or configuration that a declaration takes its settings from. */
export type TemplateLink =
  | { is: 'in_code'; address: string; place: Place }
  | { is: 'outside'; reason: string; place: Place };

/** A default that applies where the code is silent. */
export interface DefaultSettings {
  tokens: Tokens | 'unknown';
  hopLimit: number | null;
  /** The place that says it: `terraform-aws-modules/ec2-instance 6.x`. */
  subject: string;
  says: string;
  /** Document or release with the default. */
  source: string;
}

export interface Declaration {
  /**
   * `launcher` decides for instances; `group` only names templates; `account_default` decides where launchers
   * are silent; `image` is an AMI that can ask for tokens.
   */
  kind: 'launcher' | 'group' | 'account_default' | 'image';
  type: string;
  /** Address without instance keys, unique in the unit: `module.web.aws_instance.app`. */
  address: string;
  /** Number of instances that the block makes. */
  instances: number;
  path: string;
  /** The whole block. */
  whole: Place;
  /** Its first line. */
  head: Place;
  settings: Settings;
  templates: readonly TemplateLink[];
  /** Names under which groups and instances refer to this template. */
  names: readonly string[];
  image: ImageFact;
  defaults: DefaultSettings | null;
  /** Account and region, as far as the code tells them apart. */
  region: string;
  /** Name of the tokens setting in this language: `http_tokens`. */
  setting: string;
  effect: ChangeEffect;
  elsewhere: readonly string[];
  hosts: HostSelector | null;
  /** Signs that containers run here, and the hops that they need. */
  containers: ContainerSign | null;
  /** Returns the smallest edit that makes the value `required`; null where it would be a guess. */
  repair: () => Fix | null;
  /** A fact about this type that weakens what the code says. */
  caveat: Caveat | null;
}

export interface Caveat {
  text: string;
  source: string;
}

/** Knowledge about the image of a launcher, or about an image itself. */
export type ImageFact =
  | { is: 'silent' }
  | { is: 'v2.0'; says: string; place: Place | null; source: string }
  | { is: 'plain'; says: string; place: Place | null }
  | { is: 'unknown'; reason: string };

export interface ContainerSign {
  /** Hops that answers need to reach the containers. */
  hops: number;
  /** Clause for the message: `its user data joins an ECS cluster`. */
  because: string;
  /** False when the signs were looked for and none was found. */
  found: boolean;
}
