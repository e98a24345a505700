/**
 * The one table of names: where each field of ours goes in each shape. docs/integrations.md is made from it, and a test changes
 * each field and compares what changes in each shape with its row, so that table and shapes cannot differ.
 */

export interface FieldMapping {
  /** Our field, as docs/events.md names it. */
  ours: string;
  /** Attributes of the log record, or `resource.NAME`, or a field of the record itself. */
  otlp: readonly string[];
  ocsf: readonly string[];
  ecs: readonly string[];
}

const row = (ours: string, otlp: string, ocsf: string, ecs: string): FieldMapping => {
  const list = (text: string) => (text === '' ? [] : text.split(' '));
  return { ours, otlp: list(otlp), ocsf: list(ocsf), ecs: list(ecs) };
};

const PROCESS = 'actor.process';
const CONTAINER = 'actor.process.container';

/** Fields of a call. */
export const CALL_MAPPING: readonly FieldMapping[] = [
  row('id', 'log.record.uid', 'metadata.uid', 'event.id'),
  row('time', 'timeUnixNano observedTimeUnixNano', 'time metadata.original_time', '@timestamp'),
  row(
    'imds.version',
    'imds.version',
    'api.version metadata.event_code unmapped.imds.version',
    'imds.version event.action',
  ),
  row('imds.kind', 'imds.kind', 'unmapped.imds.kind', 'imds.kind'),
  row('imds.category', 'imds.category', 'metadata.event_code', 'imds.category event.action'),
  row('imds.role', 'imds.role', 'unmapped.imds.role', 'imds.role'),
  row('imds.endpoint', 'imds.endpoint', 'dst_endpoint.svc_name api.service.name', 'imds.endpoint'),
  row('imds.server_version', 'imds.server_version', 'unmapped.imds.server_version', 'imds.server_version'),
  row('imds.fallback', 'imds.fallback', 'status_detail', 'event.reason'),
  row('imds.hops', 'imds.hops', 'unmapped.imds.hops', 'imds.hops'),
  row(
    'imds.token_hop_limit',
    'imds.token_hop_limit',
    'unmapped.imds.token_hop_limit',
    'imds.token_hop_limit',
  ),
  row(
    'http.request.method',
    'http.request.method http.request.method_original',
    'http_request.http_method activity_id api.operation',
    'http.request.method',
  ),
  row(
    'url.path',
    'url.path',
    'http_request.url.path http_request.url.url_string api.operation',
    'url.path url.full',
  ),
  row(
    'url.query',
    'url.query',
    'http_request.url.query_string http_request.url.url_string',
    'url.query url.full',
  ),
  row('user_agent.original', 'user_agent.original', 'http_request.user_agent', 'user_agent.original'),
  row(
    'http.response.status_code',
    'http.response.status_code',
    'http_response.code status_code status_id',
    'http.response.status_code event.outcome',
  ),
  row('outcome', 'imdswatch.outcome', 'status_detail status_id', 'imdswatch.outcome event.outcome'),
  row(
    'duration_ms',
    'imdswatch.duration',
    'duration http_response.latency unmapped.duration_ms',
    'event.duration',
  ),
  row('source.address', 'source.address', 'src_endpoint.ip', 'source.ip source.address'),
  row('source.port', 'source.port', 'src_endpoint.port', 'source.port'),
  row(
    'destination.address',
    'destination.address network.type',
    'dst_endpoint.ip connection_info.protocol_ver_id http_request.url.hostname',
    'destination.ip destination.address network.type',
  ),
  row('destination.port', 'destination.port', 'dst_endpoint.port http_request.url.port', 'destination.port'),
  row('answered_by', 'imdswatch.answered_by', 'unmapped.answered_by', 'imdswatch.answered_by'),
  row(
    'answered_by.evidence',
    'imdswatch.answered_by.evidence',
    'unmapped.answered_by_evidence',
    'imdswatch.answered_by_evidence',
  ),
  row(
    'answered_by.confidence',
    'imdswatch.answered_by.confidence',
    'unmapped.answered_by_confidence',
    'imdswatch.answered_by_confidence',
  ),
  row('via', 'imdswatch.via', 'unmapped.via', 'imdswatch.via'),
  row('caller.role', 'imdswatch.caller.role', 'unmapped.caller_role', 'imdswatch.caller_role'),
  row(
    'caller.connection',
    'imdswatch.caller.connection',
    'unmapped.caller_connection',
    'imdswatch.caller_connection',
  ),
  row('opener', 'imdswatch.opener', 'unmapped.opener', 'imdswatch.opener'),
  row('process.pid', 'process.pid', `${PROCESS}.pid`, 'process.pid'),
  row('process.start_time', 'process.creation.time', `${PROCESS}.created_time`, 'process.start'),
  row('process.name', 'imdswatch.process.comm', `${PROCESS}.name`, 'process.name'),
  row(
    'process.executable.path',
    'process.executable.path process.executable.name',
    `${PROCESS}.file.path ${PROCESS}.file.name`,
    'process.executable',
  ),
  row('process.command_args', 'process.command_args', `${PROCESS}.cmd_line`, 'process.args'),
  row(
    'process.working_directory',
    'process.working_directory',
    `${PROCESS}.working_directory`,
    'process.working_directory',
  ),
  row('process.owner.uid', 'process.user.id', `${PROCESS}.user.uid actor.user.uid`, 'user.id'),
  row('process.owner.name', 'process.user.name', `${PROCESS}.user.name actor.user.name`, 'user.name'),
  row('process.script', 'imdswatch.process.script', 'unmapped.process.script', 'imdswatch.script'),
  row('process.title', 'process.title', 'unmapped.process.title', 'process.title'),
  row(
    'process.ancestors',
    'imdswatch.process.ancestors process.parent_pid',
    `${PROCESS}.parent_process ${PROCESS}.ancestry unmapped.process.ancestor_scripts`,
    'process.parent imdswatch.ancestors',
  ),
  row('container.id', 'container.id', `${CONTAINER}.uid`, 'container.id'),
  row('container.name', 'container.name', `${CONTAINER}.name`, 'container.name'),
  row('container.image.name', 'container.image.name', `${CONTAINER}.image`, 'container.image.name'),
  row('container.runtime', 'container.runtime.name', `${CONTAINER}.runtime`, 'container.runtime'),
  row(
    'k8s.pod.uid',
    'k8s.pod.uid',
    `${CONTAINER}.pod_uuid ${CONTAINER}.labels unmapped.pod_uid`,
    'orchestrator.resource.id',
  ),
  row('k8s.pod.name', 'k8s.pod.name', `${CONTAINER}.labels`, 'orchestrator.resource.name'),
  row('k8s.namespace.name', 'k8s.namespace.name', `${CONTAINER}.labels`, 'orchestrator.namespace'),
  row('k8s.container.name', 'k8s.container.name', `${CONTAINER}.labels`, 'imdswatch.kubernetes_container'),
  row('systemd.unit', 'imdswatch.systemd.unit', 'unmapped.systemd.unit', 'imdswatch.systemd.unit'),
  row('systemd.slice', 'imdswatch.systemd.slice', 'unmapped.systemd.slice', 'imdswatch.systemd.slice'),
  row(
    'attribution.method',
    'imdswatch.attribution.method',
    'unmapped.attribution_method',
    'imdswatch.attribution.method',
  ),
  row(
    'attribution.confidence',
    'imdswatch.attribution.confidence',
    'confidence_id',
    'imdswatch.attribution.confidence',
  ),
  row('host.id', 'resource.host.id', 'device.uid device.instance_uid', 'host.id cloud.instance.id'),
  row('host.name', 'resource.host.name', 'device.hostname device.name', 'host.name host.hostname'),
  row('host.cloud.account.id', 'resource.cloud.account.id', 'cloud.account.uid', 'cloud.account.id'),
  row('host.cloud.region', 'resource.cloud.region', 'cloud.region device.region', 'cloud.region'),
  row(
    'host.cloud.availability_zone',
    'resource.cloud.availability_zone',
    'cloud.zone device.zone',
    'cloud.availability_zone',
  ),
  row('host.type', 'resource.host.type', 'unmapped.host_type', 'cloud.machine.type'),
  row('host.image.id', 'resource.host.image.id', 'device.image.uid', 'imdswatch.image_id'),
  row('host.tags', 'resource.imdswatch.host.tag.KEY', 'unmapped.tags', 'labels'),
  row('offender', 'imdswatch.offender.id', 'metadata.correlation_uid', 'imdswatch.offender.id'),
];

/** Fields of a finding about an offender. `asff`: attributes of AWS's format. */
export const FINDING_MAPPING: readonly (FieldMapping & { asff: readonly string[] })[] = [
  withAsff(row('id', 'log.record.uid', 'metadata.uid', 'event.id'), ''),
  withAsff(
    row('key', 'imdswatch.finding.key', 'finding_info.uid metadata.correlation_uid', 'imdswatch.finding.key'),
    '',
  ),
  withAsff(
    row(
      'change',
      'imdswatch.finding.change',
      'activity_id status_id is_alert',
      'event.action imdswatch.finding.change',
    ),
    'RecordState',
  ),
  withAsff(
    row(
      'time',
      'timeUnixNano observedTimeUnixNano',
      'time metadata.original_time finding_info.modified_time',
      '@timestamp',
    ),
    'UpdatedAt',
  ),
  withAsff(
    row('first_seen', 'imdswatch.first_seen', 'finding_info.first_seen_time', 'event.start'),
    'FirstObservedAt CreatedAt',
  ),
  withAsff(
    row('last_seen', 'imdswatch.last_seen', 'finding_info.last_seen_time', 'event.end'),
    'LastObservedAt',
  ),
  withAsff(row('severity', 'severityNumber severityText', 'severity_id severity', 'event.severity'), ''),
  withAsff(row('title', 'imdswatch.finding.title', 'finding_info.title', 'imdswatch.finding.title'), 'Title'),
  withAsff(row('text', 'body', 'message finding_info.desc', 'message'), 'Description'),
  withAsff(
    row('link', 'imdswatch.finding.link', 'finding_info.src_url', 'event.url'),
    'SourceUrl Remediation.Recommendation.Url',
  ),
  withAsff(
    row(
      'offender.severity',
      'imdswatch.offender.severity',
      'finding_info.analytic attacks unmapped.offender.severity',
      'rule threat imdswatch.offender.severity',
    ),
    'GeneratorId Types Severity FindingProviderFields',
  ),
  withAsff(
    row('offender.id', 'imdswatch.offender.id', 'unmapped.offender.id', 'imdswatch.offender.id'),
    'Id ProductFields.imdswatch/offender',
  ),
  withAsff(
    row(
      'offender.advice_headline',
      'imdswatch.offender.advice',
      'remediation.desc',
      'imdswatch.offender.advice',
    ),
    'Remediation.Recommendation.Text',
  ),
  withAsff(
    row('offender.roles_v1', 'imdswatch.offender.roles_v1', 'resources', 'imdswatch.offender.roles_v1'),
    'ProductFields.imdswatch/roles',
  ),
  withAsff(row('hosts', 'imdswatch.hosts', 'resources', 'related.hosts'), 'Resources Process'),
  withAsff(row('process', '', 'evidences unmapped.evidence_host metadata.profiles', 'process'), 'Process'),
];

function withAsff(mapping: FieldMapping, asff: string) {
  return { ...mapping, asff: asff === '' ? [] : asff.split(' ') };
}
