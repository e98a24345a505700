/** The rules by which callers become workloads: the built-in ones and those of the configuration. */
import type { Call } from '../../protocol/call.ts';
import { HELPER_PROGRAMS } from './helper_programs.ts';
import { type ReleasePattern, releaseIn, releasePattern, stablePath } from './release_names.ts';
import {
  type CallerFacts,
  identityId,
  type WorkloadIdentity,
  workloadIdentity,
} from './workload_identity.ts';

export interface WorkloadSettings {
  /** Names of further programs that are not the workload. */
  helperPrograms: readonly string[];
  /** Paths with `{release}`; see `releasePattern`. */
  releasePatterns: readonly string[];
}

export class WorkloadRules {
  readonly helpers: ReadonlySet<string>;
  readonly #patterns: readonly ReleasePattern[];

  /** Throws `RangeError` for a release pattern that cannot be read. */
  constructor({ helperPrograms, releasePatterns }: WorkloadSettings) {
    this.helpers = new Set([...HELPER_PROGRAMS, ...helperPrograms]);
    this.#patterns = releasePatterns.map(releasePattern);
  }

  /**
   * Returns what the releases of a workload have in common: paths without versions, no tag, no helper. It is a key
   * and is shown to nobody.
   */
  workloadOf(identity: WorkloadIdentity): WorkloadIdentity {
    const stable = (path: string | null) => (path === null ? null : stablePath(path, this.#patterns));
    const { executable, script, entry } = identity;
    return {
      ...identity,
      executable: stable(executable),
      script: stable(script),
      entry: stable(entry ?? null),
      imageTag: null,
      helper: null,
    };
  }

  /** Returns the id of the workload of an identity, as the API has it. */
  workloadId(identity: WorkloadIdentity): string {
    return identityId(this.workloadOf(identity));
  }

  /** Returns the id of the workload that made a call. */
  workloadIdOfCall(call: Call): string {
    return this.workloadIdOfCaller(call, call.host.id, call['source.address']);
  }

  workloadIdOfCaller(caller: CallerFacts, hostId: string, sourceAddress: string): string {
    return this.workloadId(workloadIdentity(caller, hostId, sourceAddress, this.helpers));
  }

  /** Returns the version of a release: the parts of its paths that change, and the image's tag. Null if none. */
  releaseOf({ executable, script, entry, imageTag = null }: WorkloadIdentity): string | null {
    const parts = [script, executable, entry ?? null].flatMap((path) =>
      path === null ? [] : (releaseIn(path, this.#patterns) ?? []),
    );
    if (imageTag !== null) parts.unshift(imageTag);
    return parts.length === 0 ? null : [...new Set(parts)].join(', ');
  }
}

/** The rules without a configuration. */
export const BUILT_IN_RULES = new WorkloadRules({ helperPrograms: [], releasePatterns: [] });
