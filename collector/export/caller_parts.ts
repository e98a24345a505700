/** Parts of a call for which receivers have no fields of their own, with the fields of the contract and no others. */
import type { Call, K8sFacts, Opener, Relay, SystemdFacts } from '../../protocol/call.ts';
import { compact, compactOrNull } from './compact.ts';
import type { JsonObject } from './json.ts';

/** A relay, or the process that opened a connection. */
export function programObject(program: Relay | Opener | null | undefined): JsonObject | null {
  if (program === null || program === undefined) return null;
  const { pid, name, script, 'executable.path': executable, 'owner.uid': uid } = program;
  return compact({ pid, name, script, executable, uid, kind: 'kind' in program ? program.kind : null });
}

/** Returns who answered a call, and who else had a part in it. Fields that are null are not known. */
export function participantFields(call: Call) {
  return {
    systemd: systemdObject(call.systemd),
    answered_by: call.answered_by,
    answered_by_evidence: call['answered_by.evidence'],
    answered_by_confidence: call['answered_by.confidence'],
    via: programObject(call.via),
    opener: programObject(call.opener),
    caller_role: call['caller.role'],
    caller_connection: call['caller.connection'],
  };
}

export function systemdObject(systemd: SystemdFacts | null): JsonObject | null {
  return systemd === null ? null : compactOrNull({ unit: systemd.unit, slice: systemd.slice });
}

/** Returns the names and values of what is known of a pod, in the order of the contract. */
export function podFields(k8s: K8sFacts): (readonly [key: string, value: string])[] {
  const keys = ['pod.uid', 'pod.name', 'namespace.name', 'container.name'] as const;
  return keys.flatMap((key) => {
    const value = k8s[key];
    return value === null ? [] : [[key, value] as const];
  });
}
