/**
 * Describes each field of the event reference. Names and types come from the schemas; that there is a text for each
 * field, and a field for each word, is checked when the reference is made.
 */

export const CALL = {
  id: 'UUIDv7; unique; the key by which delivery is exactly-once',
  time: "RFC 3339, microseconds, UTC: when the request's first byte was captured",
  'imds.version':
    '2: it carries the header `X-aws-ec2-metadata-token` (any case, any value) or asks for a token; else 1. null: nothing was asked (`blocked`), or an endpoint without versions (`ecs`, `eks`)',
  'imds.kind': '`token`: `PUT …/api/token`; `read`: GET or HEAD; `other`: any other method',
  'imds.category': 'what was asked for, from the path, whatever its version prefix',
  'imds.role': 'role whose credentials were asked for; secrets are `****`',
  'imds.endpoint':
    '`ipv4`, `ipv6`: the instance metadata service; with the setting `endpoints` also the credentials of ECS tasks (169.254.170.2) and of EKS pods (169.254.170.23, fd00:ec2::23)',
  'imds.server_version': "the service's own verdict by its answer; null when unanswered or an error",
  'imds.fallback':
    'an IMDSv1 read by a process whose token request just before got no answer, or a 4xx; null else',
  'http.request.method': 'as sent; secrets are `****`',
  'url.path': 'as sent; what is not printable ASCII is percent-encoded; secrets are `****`',
  'url.query': 'the same',
  'user_agent.original': 'the same',
  'http.response.status_code': 'null when unanswered',
  outcome:
    "`answered`: and its client acknowledged it; `truncated`: a part of the request's or the answer's head was not seen; `blocked`: an attempt that did not leave the host, with no version and nothing asked",
  duration_ms: "from the request's first byte to the answer's",
  'source.address': "as the caller's own socket has it",
  'source.port': 'the same',
  'destination.address': 'the same',
  'destination.port': 'the same',
  process: 'who made it, [below](#process); null when not found',
  container: 'null outside containers',
  k8s: 'null outside pods',
  systemd: 'null where there is no unit',
  'attribution.method':
    '`ebpf`: the kernel recorded who opened this socket; `sock_diag`: asked for on the first packet; `none`: not found',
  'attribution.confidence': '`exact`: the kernel said so for this very socket',
  host: 'where it was made, [below](#host)',
};

export const PROCESS = {
  pid: "in the host's pid namespace",
  start_time: 'RFC 3339; with `pid` it names one process of one boot',
  name: "the kernel's `comm`, at most 15 bytes; here and in all texts below secrets are `****`",
  'executable.path': 'null when it was gone before it could be read',
  command_args: 'secrets are `****`; null when they could not be read',
  working_directory: '',
  'owner.uid': 'the effective user when the socket connected',
  'owner.name': 'its name on the host, or in the container',
  script: 'what an interpreter runs: the script, the module of `-m`, the jar; null for anything else',
  ancestors:
    'nearest first, to pid 1 where the chain reaches it: `pid`, `name`, `executable.path`, `command_args`',
};

export const CONTAINER = {
  id: '64 hexadecimal digits',
  name: 'as its engine names it, secrets are `****`; null when no engine was asked or none answered in time',
  'image.name': 'the same',
  runtime: 'which engine',
};

export const K8S = {
  'pod.uid': '',
  'pod.name': 'secrets are `****`; null when the runtime was not asked, or did not answer in time',
  'namespace.name': 'the same',
  'container.name': 'the same',
};

export const SYSTEMD = {
  unit: 'the unit whose control group the process is in; secrets are `****`',
  slice: '',
};

export const HOST = {
  id: 'for machines; unique in the fleet',
  name: 'for people',
  'cloud.account.id': '',
  'cloud.region': '',
  'cloud.availability_zone': '',
  type: 'instance type',
  'image.id': '',
  tags: 'key and value; hosts are grouped and filtered by them',
};

export const ROLLUP = {
  id: 'UUIDv7; unique',
  first_time: 'of its first call',
  last_time: 'of its last call',
  count: 'calls in it',
  'user_agent.original': 'as on a call',
  'source.address': 'as on a call',
  lines: 'one for each kind of request, below',
  process: 'as on a call',
  container: 'as on a call',
  k8s: 'as on a call',
  systemd: 'as on a call',
  'attribution.method': 'as on a call',
  'attribution.confidence': 'as on a call',
  host: 'as on a call',
};

export const ROLLUP_LINE = {
  'imds.kind': 'as on a call',
  'imds.category': 'as on a call',
  'http.request.method': 'as on a call',
  'url.path': 'null for the line of what did not fit the 64 lines of a roll-up',
  'http.response.status_code': 'as on a call',
  outcome: 'as on a call',
  count: 'how often',
};

export const COVERAGE = {
  id: 'UUIDv7; unique',
  host_id: '',
  boot_id: "the kernel's id of this boot",
  start: 'of the interval',
  end: 'of the interval',
  run_id:
    'one start of the agent, whose reports follow one another without a gap; absent from older agents, as the next two',
  uptime_start_ms:
    'the host’s clock since its start (CLOCK_BOOTTIME, which nobody can set) at the start of the report',
  uptime_end_ms: 'the same at its end: what was captured until then was read',
  joined_connections: 'those of `kernel_connections` that the capture was found to have seen',
  undecided_connections: 'those of which the next report says whether they were seen',
  open_calls: 'calls that began and were not recorded yet: the next report of the same run vouches for them',
  open_since:
    'when the oldest of these calls, or of the undecided connections, began: what is lost with the run was made since then',
  left_out:
    'parts of the host that settings keep out of the capture: `interfaces` but for one, other `namespaces`; verdicts say what that leaves open',
  live_ms: 'for how much of it every capture was live',
  kernel_connections:
    'connections to the endpoints that the kernel reported; null without eBPF, when nobody can ask it',
  seen_connections: 'conversations that the capture saw begin',
  losses: 'by [reason](#what-is-counted-as-lost); only what is not zero',
};

export const HEARTBEAT = {
  time: '',
  host_id: '',
  agent_version: '',
  started: 'when the agent started',
  counters: 'of every stage, by name; they only grow while the agent runs',
  coverage: '`live`: whether the capture runs; `sources`: what is captured on',
  attribution: '`method`; `reason`: why it is not eBPF',
  agent: '`cpu_percent` of one core and `memory_bytes` resident, of the agent itself',
  spool: '`bytes` and `records` that wait for the collector; `overflowed`: what had to go, by kind of record',
};

export const OFFENDER = {
  id: '16 hexadecimal digits; the same for the same workload on every host',
  severity: '[below](#severity)',
  attributed:
    'false: which process it was could not be found; then only hosts and `source_address` say anything',
  title: 'what to call it: script, else executable, else name, else the source address',
  executable: '',
  name: "the kernel's `comm`, where the executable is not known",
  script: '',
  user: '',
  uid: 'where the user has no name',
  container_image: 'repository of the image, without tag and digest',
  systemd_unit: 'instances of a template share its name',
  k8s_namespace: '',
  k8s_container: '',
  source_address: 'where the process is not known',
  calls_v1: 'calls without a token, whatever came back',
  calls_v2: 'including those that were rolled up',
  blocked_attempts: 'attempts that a local rule stopped: nothing was asked',
  credentials_over_v1:
    'reads of role credentials without a token that were answered with 2xx: these can have been stolen by SSRF',
  last_credentials_over_v1: 'the latest of them',
  credentials_over_v1_attempts: 'all reads of role credentials without a token, whatever came back',
  rejected_v1: 'calls without a token that were answered 401: tokens are required there already',
  fallbacks:
    'reads without a token just after a token request that got no answer (`token_unanswered`) or a 4xx (`token_refused`)',
  categories_v1: 'how often each category was asked for without a token',
  roles_v1: 'roles whose credentials were asked for without a token; the 10 most frequent',
  user_agents: 'the 10 most frequent',
  clients: 'SDK or tool and its releases, from the user agents',
  host_count: '',
  hosts_freed: 'hosts on which no other workload made an IMDSv1 call: one fix of this workload frees them',
  hosts: 'the 10 that called most recently',
  accounts: '',
  regions: '',
  first_seen: '',
  last_seen: '',
  first_v1: 'null without IMDSv1',
  last_v1: 'the same',
  trend_v1: 'IMDSv1 calls in equal parts of the window, oldest first',
  advice_kind: 'what to tell its team: [How to require tokens](enforce.md#tell-each-team-what-to-change)',
  advice_headline: 'the same in a sentence',
};

export const ALERT = {
  id: 'the same at every attempt to deliver it',
  rule: 'which [rule](operate.md#alerts)',
  subject: "an offender's or a host's id; `summary` where one alert stands for many",
  time: 'when it was found',
  severity: '',
  title: '',
  text: '',
  link: 'into the page; null where the collector does not know its own address',
};

export const SEVERITY = {
  credentials: 'role credentials were handed out over IMDSv1',
  v1: 'IMDSv1 calls that were no fallback',
  fallback: 'all its IMDSv1 calls followed a token request that failed',
  rejected: 'all its IMDSv1 calls were refused with 401',
  blocked: 'a local rule stopped its calls, whose version nobody saw',
  none: 'IMDSv2 only',
};

export const VERDICT = {
  ready: 'watched all the time, and nobody called without a token',
  blocked: 'calls without a token would break when tokens are required; their callers are named',
  fallback: 'only callers that speak IMDSv2 and fell back, because their token requests failed',
  rejected:
    'calls without a token are refused with 401: tokens are required already, and something is broken',
  enforced: 'the cloud says that tokens are required, and nobody was seen trying without',
  unproven: 'no call without a token was seen, and nobody looked all the time; the gaps are named',
};

export const GAP_REASON = {
  not_yet_watched: "from the window's start to the host's first report",
  agent_not_running: 'between two reports of the same boot',
  boot: 'between the reports of two boots',
  capture_not_live: 'the agent ran, and a capture was not open',
  losses: 'something was lost or could not be judged; `detail` names the counters',
  no_report: 'since the last report',
  cloud_saw_more: 'the cloud counted more calls without a token than were seen',
  not_kept:
    'the host reported more than is kept of one host, records that are not valid, or records dated more than a day ahead of the collector; `detail` says how many of what. Never tolerated',
};

/** Counters of coverage reports and of `watch`. */
export const LOSSES = {
  'capture.dropped': 'packets that the kernel dropped, because its ring was full',
  'capture.blind': 'times that a capture was found ended; it is opened again within a second',
  'capture.reopen_failures': 'times that it could not be opened again',
  'capture.damaged': 'in a capture file: records that could not be read',
  'capture.bad_times': 'in a capture file: packets whose time is damaged',
  'capture.unknown_link_type': 'in a capture file: packets of a link type that is not known',
  'coverage.unseen_connections':
    'the collector’s own account: connections that the kernel reported and that were neither seen nor missed by the agent’s account',
  'run.open_calls':
    'calls that had begun at the last report of an agent that was killed, and may not be recorded',
  'coverage.missed':
    'connections that the kernel reported and of which no packet was seen: they went another way',
  'namespaces.not_followed_ms':
    'milliseconds in which a connection to an endpoint lived in another network namespace and no capture followed it',
  'namespaces.not_watched_ms':
    'milliseconds in which a network namespace with a way of its own was there and nothing was captured in it, or processes did not show in which namespace they are',
  'decode.link_type': 'packets of a link layer that is not known',
  'decode.ip_fragment': 'IP fragments, which are not put together',
  'decode.cut_short': 'packets that end within a header',
  'decode.malformed': 'packets with a header that contradicts itself',
  'conversation.gaps_in_heads':
    'holes in a stream outside a body: something of a request or an answer was not seen',
  'conversation.connections_evicted': 'connections given up because 8,192 were followed already',
  'conversation.half_open_evicted': 'the same for connections that were only begun',
  'conversation.malformed_requests': 'streams to the service that are not HTTP/1',
  'conversation.malformed_answers': 'streams from it that are not HTTP/1',
  'conversation.unjudged_answers':
    'answers without a request that was seen, which do not say what they answer: a call is not reported',
  'conversation.unseen_requests': 'requests whose bytes were never seen and that nothing answered',
  'conversation.unfinished_requests': 'requests that ended within their first line',
  'conversation.late_answers': 'answers that came after their request was reported unanswered',
  'conversation.surplus_requests': 'requests of one connection beyond those that may wait for an answer',
  'conversation.pending_bytes_bound': 'times that bytes out of order were given up for memory',
  'conversation.conflicting_segments':
    'segments that carried other bytes than an earlier copy of them: the receiver may have read either',
  'conversation.unverified_copies':
    'copies of bytes to the service that came too late to be compared with the first ones',
  'conversation.urgent_segments':
    'segments to the service with urgent data, which its kernel may take out of the stream',
  'conversation.segments_after_end': 'connections that went on behind a reset or a close that we believed',
  'conversation.contradicted_connections':
    'connections of which the service acknowledged bytes that had been ignored',
  'conversation.one_sided_connections': 'connections with a request of which one direction only was seen',
  'conversation.upgraded_connections': 'connections that went over to another protocol',
  'attribution.ring_lost': "records of the kernel's that did not fit the ring",
  'attribution.recursion_misses': 'changes of sockets that the kernel did not show to our program',
  'attribution.overlapping':
    'connections of two network namespaces that had the same addresses and ports at one time: their packets cannot be told apart',
  'attribution.evicted': 'sockets forgotten because too many were known',
  'calls.truncated': 'calls of which a part was not seen',
  'calls.unattributed': 'calls whose process was not found',
  'calls.verdict_disagreements': "calls where the service's own verdict was another than ours",
  'calls.unproven':
    'calls that look like IMDSv2 without proof: an odd request, and no verdict of the service',
  'watch.stalled_ms': 'milliseconds in which the agent itself did not run (a suspended or starved machine)',
  'spool.v1_overflowed': 'IMDSv1 calls that had to go because the spool was full',
  'spool.v1_lost': 'IMDSv1 calls that were lost to damage of the disk',
  'spool.coverage_overflowed': 'coverage reports that had to go because the spool was full',
  'spool.coverage_lost': 'coverage reports that were lost to damage of the disk',
  'spool.rejected': 'records that the collector did not take',
  'spool.unreadable_files': 'files of the spool that could not be read',
  'spool.ledgers_lost': "times that the spool's memory of what is delivered was lost",
  'spool.batches_forgotten_by_collector':
    'batches that the collector had acknowledged and does not know any more',
};
