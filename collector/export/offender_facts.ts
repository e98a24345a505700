/** Fields of an offender for which receivers have none of their own, under the same names in every shape. */
import type { Offender } from '../contract/offender.ts';

/** Null fields are those that are not known. */
export function offenderFacts(offender: Offender) {
  return {
    id: offender.id,
    severity: offender.severity,
    title: offender.title,
    executable: offender.executable,
    script: offender.script,
    user: offender.user,
    container_image: offender.container_image,
    systemd_unit: offender.systemd_unit,
    calls_v1: offender.calls_v1,
    calls_v2: offender.calls_v2,
    credentials_over_v1: offender.credentials_over_v1,
    user_agents: offender.user_agents,
    host_count: offender.host_count,
    accounts: offender.accounts,
    regions: offender.regions,
    advice_kind: offender.advice_kind,
    owner: offender.triage.owner,
    triage: offender.triage.state,
  };
}
