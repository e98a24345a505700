/** A scan reports findings with their evidence, and files that could not be read. */
import type { Level } from './level.ts';
import type { RuleId } from './rules/catalogue.ts';
import type { Range } from './source_file.ts';

/** Effective value of `HttpTokens`; `off` where the endpoint is disabled. */
export type TokenState = 'required' | 'optional' | 'off' | 'unknown';

/** One step of the chain that leads to a value, strongest first. */
export interface Evidence {
  /** The place that says it: `aws_launch_template.web`, `account default of eu-west-1`, `AWS default`. */
  subject: string;
  /** Sentence without its subject: `sets http_tokens = "optional"`. */
  says: string;
  /** Place in the scanned code, if it is there. */
  path?: string;
  range?: Range;
  /** Source of a default that is not in the code: a document or a module's release. */
  source?: string;
}

/** Replaces `[start, end)` of the file's text (UTF-16 indices) by `text`. */
export interface Edit {
  path: string;
  start: number;
  end: number;
  text: string;
}

export interface Fix {
  /** Imperative that names the edit: `Set http_tokens to "required".` */
  summary: string;
  /** Do not overlap; may touch other files than the finding's. */
  edits: Edit[];
}

/** Effect of applying the change on instances that run. */
export interface ChangeEffect {
  how: 'in_place' | 'replaces' | 'new_launches_only' | 'nothing_runs';
  /** A sentence that says what happens. */
  text: string;
  source: string;
}

export interface Finding {
  rule: RuleId;
  level: Level;
  /** Path of the file, as `SourceFile.path`. */
  path: string;
  /** The narrowest place to look at: the attribute, else the block, else the resource's first line. */
  range: Range;
  /** The whole resource or statement. Suppression comments in it or directly above it apply. */
  scope: Range;
  /** Name of the thing that the finding is about: `aws_instance.web`, `boto3 1.9.0`, `curl`. */
  subject: string;
  /** Whole sentences: what was found and why it matters here. */
  message: string;
  /** Effective value, for findings about settings. */
  value?: { tokens: TokenState; endpoint?: string; hopLimit?: number | null; reason?: string };
  evidence: Evidence[];
  /** Whole sentences: what to change. */
  remedy: string;
  /** Present only where the edit is certain. */
  fix?: Fix;
  /** Ids of the same check elsewhere, for this kind of resource. */
  elsewhere: readonly string[];
  effect?: ChangeEffect;
  /**
   * Identifies the finding next to rule, path and subject when lines move: for example the setting or the text
   * of the call. Never a line number.
   */
  identity: string;
  /** Hosts that this resource stands for, filled by `--collector` or the local store. */
  readiness?: HostReadiness;
  /** Facts by which hosts can be matched. */
  hosts?: HostSelector;
}

export interface HostSelector {
  instanceIds: string[];
  autoScalingGroups: string[];
  launchTemplateIds: string[];
  /** Tags that all matched hosts must have. */
  tags: Record<string, string>;
}

export interface HostReadiness {
  hosts: number;
  /** `safe`: every host is ready. `blocked`: somebody still calls IMDSv1. `unproven`: not enough was seen. */
  state: 'safe' | 'blocked' | 'unproven' | 'unmatched';
  /** One sentence for the report. */
  text: string;
}

/** A file that could not be read or not be parsed. The rest of the tree is scanned all the same. */
export interface Problem {
  path: string;
  range?: Range;
  /** A whole sentence: what is wrong and what to do. */
  message: string;
  /** The file itself was understood, so its fixes are certain. */
  isHarmless?: boolean;
}

export interface ScanResult {
  findings: Finding[];
  problems: Problem[];
  counts: { files: number; scanned: number; bytes: number; resources: number; suppressed: number };
}
