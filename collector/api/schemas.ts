/** The schemas of the contract with their names in the OpenAPI document. */
import * as administration from '../contract/administration.ts';
import * as cloud from '../contract/cloud.ts';
import * as hosts from '../contract/host.ts';
import * as offenders from '../contract/offender.ts';
import * as served from '../contract/served_call.ts';
import * as sessions from '../contract/session.ts';

export const Alert = administration.alert.meta({ id: 'Alert' });
export const AuditEntry = administration.auditEntry.meta({ id: 'AuditEntry' });
export const Destination = administration.destination.meta({ id: 'Destination' });
export const NewDestination = administration.newDestination.meta({ id: 'NewDestination' });
export const DestinationChange = administration.destinationChange.meta({ id: 'DestinationChange' });
export const Retention = administration.retention.meta({ id: 'Retention' });
export const Token = administration.token.meta({ id: 'Token' });
export const NewToken = administration.newToken.meta({ id: 'NewToken' });
export const Host = hosts.host.meta({ id: 'Host' });
export const HostDetail = hosts.hostDetail.meta({ id: 'HostDetail' });
export const Overview = hosts.overview.meta({ id: 'Overview' });
export const ReadinessGroup = hosts.readinessGroup.meta({ id: 'ReadinessGroup' });
export const Offender = offenders.offender.meta({ id: 'Offender' });
export const OffenderDetail = offenders.offenderDetail.meta({ id: 'OffenderDetail' });
export const ServedCall = served.servedCall.meta({ id: 'ServedCall' });
export const NewSession = sessions.newSession.meta({ id: 'NewSession' });
export const Session = sessions.session.meta({ id: 'Session' });
export const SignIn = sessions.signIn.meta({ id: 'SignIn' });
export const CloudCounts = cloud.cloudCounts.meta({ id: 'CloudCounts' });
export const CloudInstances = cloud.cloudInstances.meta({ id: 'CloudInstances' });
export const Reconciliation = cloud.reconciliation.meta({ id: 'Reconciliation' });
