/** The schemas of the contract with their names in the OpenAPI document. */

import * as planReports from '../../protocol/plan_report.ts';
import * as administration from '../contract/administration.ts';
import * as alerts from '../contract/alert.ts';
import * as cloud from '../contract/cloud.ts';
import * as destinations from '../contract/destination.ts';
import * as enforcement from '../contract/enforcement.ts';
import * as fixes from '../contract/fix_first.ts';
import * as followed from '../contract/followed_calls.ts';
import * as groups from '../contract/group.ts';
import * as hosts from '../contract/host.ts';
import * as requests from '../contract/http_request.ts';
import * as offenders from '../contract/offender.ts';
import * as owners from '../contract/owner.ts';
import * as plans from '../contract/plan.ts';
import * as served from '../contract/served_call.ts';
import * as sessions from '../contract/session.ts';
import { storage } from '../contract/storage.ts';
import * as triages from '../contract/triage.ts';

export const Alert = alerts.alert.meta({ id: 'Alert' });
export const AuditEntry = administration.auditEntry.meta({ id: 'AuditEntry' });
export const Destination = destinations.destination.meta({ id: 'Destination' });
export const DestinationPreset = requests.destinationPreset.meta({ id: 'DestinationPreset' });
export const UnroutedAlerts = destinations.unroutedAlerts.meta({ id: 'UnroutedAlerts' });
export const NewDestination = destinations.newDestination.meta({ id: 'NewDestination' });
export const DestinationChange = destinations.destinationChange.meta({ id: 'DestinationChange' });
export const Storage = storage.meta({ id: 'Storage' });
export const Retention = administration.retention.meta({ id: 'Retention' });
export const Token = administration.token.meta({ id: 'Token' });
export const NewToken = administration.newToken.meta({ id: 'NewToken' });
export const Host = hosts.host.meta({ id: 'Host' });
export const HostReadiness = hosts.hostReadiness.meta({ id: 'HostReadiness' });
export const HostDetail = hosts.hostDetail.meta({ id: 'HostDetail' });
export const Overview = hosts.overview.meta({ id: 'Overview' });
export const Group = groups.group.meta({ id: 'Group' });
export const GroupDetail = groups.groupDetail.meta({ id: 'GroupDetail' });
export const ReadinessGroup = hosts.readinessGroup.meta({ id: 'ReadinessGroup' });
export const FixFirst = fixes.fixFirst.meta({ id: 'FixFirst' });
export const BurnDown = fixes.burnDown.meta({ id: 'BurnDown' });
export const Plan = plans.plan.meta({ id: 'Plan' });
export const PlanDetail = plans.planDetail.meta({ id: 'PlanDetail' });
export const PlanStep = plans.planStep.meta({ id: 'PlanStep' });
export const PlanReport = planReports.planReport.meta({ id: 'PlanReport' });
export const Triage = triages.triage.meta({ id: 'Triage' });
export const OwnerSummary = owners.ownerSummary.meta({ id: 'OwnerSummary' });
export const OwnerRules = owners.ownerRules.meta({ id: 'OwnerRules' });
export const OwnerRulesChange = owners.ownerRulesChange.meta({ id: 'OwnerRulesChange' });
export const OwnerExplanation = owners.ownerExplanation.meta({ id: 'OwnerExplanation' });
export const TriageChange = triages.triageChange.meta({ id: 'TriageChange' });
export const Offender = offenders.offender.meta({ id: 'Offender' });
export const OffenderDetail = offenders.offenderDetail.meta({ id: 'OffenderDetail' });
export const ServedCall = served.servedCall.meta({ id: 'ServedCall' });
export const FollowedCalls = followed.followedCalls.meta({ id: 'FollowedCalls' });
export const NewSession = sessions.newSession.meta({ id: 'NewSession' });
export const Session = sessions.session.meta({ id: 'Session' });
export const SignedOut = sessions.signedOut.meta({ id: 'SignedOut' });
export const SignInWays = sessions.signInWays.meta({ id: 'SignInWays' });
export const SignIn = sessions.signIn.meta({ id: 'SignIn' });
export const CloudCounts = cloud.cloudCounts.meta({ id: 'CloudCounts' });
export const CloudInstances = cloud.cloudInstances.meta({ id: 'CloudInstances' });
export const CloudInventory = cloud.cloudInventory.meta({ id: 'CloudInventory' });
export const Reconciliation = cloud.reconciliation.meta({ id: 'Reconciliation' });
export const EnforcementCollector = enforcement.enforcementCollector.meta({ id: 'EnforcementCollector' });
export const EnforcementHostsQuestion = enforcement.enforcementHostsQuestion.meta({
  id: 'EnforcementHostsQuestion',
});
export const EnforcementHosts = enforcement.enforcementHosts.meta({ id: 'EnforcementHosts' });
export const EnforcementGroup = enforcement.enforcementGroup.meta({ id: 'EnforcementGroup' });
export const EnforcementCallsQuestion = enforcement.enforcementCallsQuestion.meta({
  id: 'EnforcementCallsQuestion',
});
export const EnforcementCalls = enforcement.enforcementCalls.meta({ id: 'EnforcementCalls' });
export const EnforcementCallerHosts = enforcement.enforcementCallerHosts.meta({
  id: 'EnforcementCallerHosts',
});
export const EnforcementNewHosts = enforcement.enforcementNewHosts.meta({ id: 'EnforcementNewHosts' });
export const EnforcementWatchedQuestion = enforcement.enforcementWatchedQuestion.meta({
  id: 'EnforcementWatchedQuestion',
});
export const EnforcementPlans = enforcement.enforcementPlans.meta({ id: 'EnforcementPlans' });
export const EnforcementWatched = enforcement.enforcementWatched.meta({ id: 'EnforcementWatched' });
