/**
 * Describes each field of the event reference. Names and types come from the schemas. The generator fails if
 * a field has no text, or a text has no field.
 */

const SAME_AS_CALL = 'the same as in a call';

export const CALL = {
  id: 'UUIDv7; unique. The collector stores one id only once',
  time: 'when the first byte of the request was captured: RFC 3339 in UTC, with microseconds',
  'imds.version':
    '2: the request has the header `X-aws-ec2-metadata-token` (any case, any value), or it requests a token. 1: every other request. null: there was no request (`blocked`), or the endpoint has no versions (`ecs`, `eks`)',
  'imds.kind': '`token`: `PUT …/api/token`; `read`: GET or HEAD; `other`: any other method',
  'imds.category':
    'the kind of data that was requested, by the path without its version prefix. `other-cloud`: a request that looks for another cloud, by its path or by a header that only other clouds know, and gets nothing of EC2; without a token it is no use of IMDSv1. So is a HEAD request for `/`, which only asks which server answers. `other`: a path that is not known',
  'imds.role': 'the role whose credentials were requested; secrets are `****`',
  'imds.endpoint':
    '`ipv4`, `ipv6`: the instance metadata service. With the setting `endpoints` also `ecs`, the credentials of ECS tasks (169.254.170.2), and `eks`, those of EKS pods (169.254.170.23, fd00:ec2::23)',
  'imds.server_version':
    "the version by the service's own answer; null if there was no answer, or it was an error",
  'imds.fallback':
    'set for an IMDSv1 read of a client whose token request before got no answer (the client closed or reset its connection, after whatever time) or a 4xx. `adapted`: a read that was refused with 401, and that the same client repeated with a new token within 1.5 s. Otherwise null. A client is a process with its user agent, or the commands of one script',
  'imds.hops':
    'how many routers of this host (containers’ networks) are between the caller and the service, measured from hop limits; null where that cannot be told. A token’s answer needs a hop limit of one more',
  'imds.token_hop_limit':
    'of a fallback: the hop limit with which the token’s answer reached this host, which is the setting of the instance; null where no answer was seen',
  'http.request.method': 'as sent; secrets are `****`',
  'url.path': 'as sent; characters that are not printable ASCII are percent-encoded; secrets are `****`',
  'url.query': 'the same',
  'user_agent.original': 'the same',
  'http.response.status_code': 'null if there was no answer',
  outcome:
    '`answered`: the client acknowledged the answer; `unanswered`: no answer came; `reset`: the connection was reset first; `truncated`: a part of the head of the request or the answer was not captured; `blocked`: the attempt did not leave the host, so there was no request and there is no version',
  duration_ms: 'from the first byte of the request to the first byte of the answer',
  'source.address': "as the caller's own socket has it",
  'source.port': 'the same',
  'destination.address': 'the same',
  'destination.port': 'the same',
  answered_by:
    '`service`: the instance metadata service; `host`: something on this host, so that the call is no use of the service; null for other endpoints; absent from older agents, as the next six',
  'answered_by.evidence':
    '`translation`: the kernel rewrote the destination to another address, and no packet left for the service; `socket`: a socket of the host is the other end; `loopback`: no packet left the loopback; `departure`: a packet left for the service; `none`: nothing decides, and the call counts as a use of the service',
  'answered_by.confidence':
    "`exact` for the host's evidence; for `departure` if the answer also names the service; else `probable` or `none`",
  via: 'the relay that sent the call on for the caller: its `kind` (`redirect`: a sidecar; `translation`: a proxy on the host; `user_network`: slirp4netns or pasta), `pid`, `name`, `executable.path`, `script` and `owner.uid`; null where the caller called itself, as far as is known',
  'caller.role':
    '`relay`: the caller sends on the requests of others, and for whom is not known: an HTTP proxy that adds `Via`, `Forwarded` or `X-Forwarded-For`, or a known sidecar, proxy or user-mode network. Null else, [and what that does not say](#callers-that-act-for-others)',
  'caller.connection':
    '`own`: the caller opened its connection; `handed`: another process opened it, or the caller before it began this program; `shared`: several processes use it, and which of them sent the request is not certain. Null where that is not known, [and when](#connections-that-are-handed-on)',
  opener:
    'the process that opened a connection that it handed on: `pid`, `name`, `executable.path`, `script` and `owner.uid`; null or absent where the caller opened it itself, and where the opener is not known',
  process: 'the process that made the call, [below](#process); null if it was not found',
  container: 'null outside containers',
  k8s: 'null outside pods',
  systemd: 'null if the process is in no unit',
  'attribution.method':
    "`ebpf`: an eBPF program reported the process; `sock_diag`: without eBPF, the kernel's samples of connections name it, or the agent searched for it; `none`: it was not found, or several may have been it",
  'attribution.confidence':
    '`exact`: the kernel named the owner of this very socket; `probable`: several may own it, or the caller or its program is [concluded](operate.md#callers-are-not-named)',
  host: 'the host of the caller, [below](#host)',
};

export const PROCESS = {
  pid: "in the host's pid namespace",
  start_time: 'RFC 3339; together with `pid` it identifies one process of one boot',
  name: "the kernel's `comm`, at most 15 bytes; here and in all texts below secrets are `****`",
  'executable.path': 'null if the process ended before it could be read',
  command_args: 'secrets are `****`; null if they could not be read',
  working_directory: '',
  'owner.uid': 'the effective user when the socket connected',
  'owner.name': "the user's name on the host, or in the container",
  script:
    'the program that an interpreter runs: a script, the module of `-m`, a jar or main class; null for other executables',
  title: 'the text that a daemon has written over its arguments; absent where there is none',
  ancestors:
    'the parent first, up to pid 1 if all are known: `pid`, `name`, `executable.path`, `command_args`, `script` (absent if its arguments could not be read)',
};

export const CONTAINER = {
  id: '64 hexadecimal digits',
  name: 'the name by its engine; secrets are `****`; null if no engine was asked, or none answered in time',
  'image.name': 'the same',
  runtime: 'the container engine',
};

export const K8S = {
  'pod.uid': '',
  'pod.name': 'secrets are `****`; null if the runtime was not asked, or did not answer in time',
  'namespace.name': 'the same',
  'container.name': 'the same',
};

export const SYSTEMD = {
  unit: 'the unit whose control group has the process; secrets are `****`',
  slice: '',
};

export const HOST = {
  id: 'unique in the fleet; for programs',
  name: 'for people',
  'cloud.account.id': '',
  'cloud.region': '',
  'cloud.availability_zone': '',
  type: 'instance type',
  'image.id': '',
  tags: 'keys and values; hosts can be grouped and filtered by them',
};

export const ROLLUP = {
  id: 'UUIDv7; unique',
  first_time: 'time of the first call',
  last_time: 'time of the last call',
  count: 'number of calls',
  'user_agent.original': SAME_AS_CALL,
  'source.address': SAME_AS_CALL,
  lines: 'one for each kind of request, below',
  process: SAME_AS_CALL,
  container: SAME_AS_CALL,
  k8s: SAME_AS_CALL,
  systemd: SAME_AS_CALL,
  'attribution.method': SAME_AS_CALL,
  'attribution.confidence': SAME_AS_CALL,
  host: SAME_AS_CALL,
};

export const ROLLUP_LINE = {
  'imds.kind': SAME_AS_CALL,
  'imds.category': SAME_AS_CALL,
  'http.request.method': SAME_AS_CALL,
  'url.path': 'null in the line for all calls beyond the 64 lines of a roll-up',
  'http.response.status_code': SAME_AS_CALL,
  outcome: SAME_AS_CALL,
  count: 'number of calls',
};

export const COVERAGE = {
  id: 'UUIDv7; unique',
  host_id: '',
  boot_id: "the kernel's id of this boot",
  start: 'start of the interval',
  end: 'end of the interval',
  run_id:
    'one run of the agent; its reports follow one another without a gap. Older agents do not send this field and the next two',
  uptime_start_ms:
    "the host's clock since its boot (CLOCK_BOOTTIME, which nobody can set) at the start of the report",
  uptime_end_ms:
    'the same clock at the end of the report. Every packet that was captured until then was read',
  joined_connections: 'connections of `kernel_connections` that the capture saw',
  undecided_connections:
    'connections of `kernel_connections` of which the next report says whether the capture saw them',
  open_calls: 'calls that began and were not recorded yet; the next report of the same run accounts for them',
  open_since:
    'when the oldest open call or undecided connection began. If the agent is killed, the calls that are lost were made after this time',
  left_out:
    'parts of the host that the settings exclude from the capture: `interfaces` (all but one), `namespaces` (all others). The verdict says what this leaves unknown',
  live_ms: 'time of the interval during which every capture was open',
  kernel_connections: 'connections to the endpoints by the kernel; null without eBPF',
  seen_connections: 'connections whose beginning the capture saw',
  losses: 'losses by [counter](#what-is-counted-as-lost), without zeros',
};

export const HEARTBEAT = {
  time: '',
  host_id: '',
  agent_version: '',
  started: 'when the agent started',
  counters: 'counters by stage and name; they only grow while the agent runs',
  coverage: '`live`: whether the capture is open; `sources`: the interfaces that are captured',
  attribution:
    '`method`; `way`: `ebpf`, `tracepoint` (eBPF without type information, a `method` of `ebpf`) or `sock_diag`; `reason`: why there is no better way; `no_process_events`: why the kernel does not report which processes run',
  agent: "the agent's own `cpu_percent` (of one core) and `memory_bytes` (resident)",
  spool:
    '`bytes` and `records` that wait for the collector; `overflowed`: records that were deleted because the spool was full, by kind',
};

export const OFFENDER = {
  id: '16 hexadecimal digits; the same for the same workload on every host',
  severity: '[below](#severity)',
  attributed: 'false if the process was not found: then only hosts and `source_address` are known',
  title:
    'a name for people: the script, else the executable, else the cron entry, unit or image, else the name, else the source address',
  executable: '',
  name: "the kernel's `comm`, if the executable is not known",
  script: '',
  user: '',
  uid: 'set if the user has no name',
  container_image: 'repository of the image, without tag and digest',
  systemd_unit: 'all instances of a template unit have one name here',
  k8s_namespace: '',
  k8s_container: '',
  source_address: 'set if the process is not known',
  helpers: 'programs such as `/usr/bin/curl` that called for the workload, which ran them; at most 10',
  started_by:
    'set where no program is the workload: `cron`, `unit`, `container` or `supervisor` ran helpers; `session`: a person; `unknown`: the parents had ended before they could be read',
  entry: 'the command of a cron entry or of a program of a supervisor; secrets are `****`',
  releases:
    'releases of the workload, that which called last first, at most 10: `release` (versions in its paths, tag of its image), `executable`, `script`, `image_tag`, `calls_v1`, `calls_v2`, `last_seen`, `last_v1`, `id`',
  calls_v1: 'calls without a token, with any answer or none',
  calls_v2: 'calls with a token, rolled up or not',
  blocked_attempts: 'attempts that a rule on the host stopped: there was no request',
  credentials_over_v1:
    'reads of role credentials without a token that were answered with 2xx. SSRF can have stolen these credentials',
  last_credentials_over_v1: 'time of the latest of them',
  credentials_over_v1_attempts: 'all reads of role credentials without a token, with any answer or none',
  rejected_v1: 'calls without a token that were answered with 401: the host requires tokens already',
  adapted_v1:
    'reads without a token that were refused with 401, and that the same client then repeated with one; not in `calls_v1`',
  refused_tokens: 'reads with a token that were refused with 401: the token is stale or wrong',
  other_cloud_calls: 'requests that look for another cloud; not in `calls_v1`',
  acts_for_others:
    'some of its calls were sent on for other programs, which are not known: it is a proxy or the like',
  answered_by_host_v1: 'calls without a token that something on the host answered; not in `calls_v1`',
  fallbacks:
    'reads without a token just after a token request that got no answer (`token_unanswered`) or a 4xx (`token_refused`)',
  categories_v1: 'number of calls without a token, by category',
  roles_v1: 'the 10 roles whose credentials were requested most often without a token',
  user_agents: 'the 10 most frequent',
  clients: 'the SDK or tool with its releases, by the user agents',
  host_count: '',
  hosts_freed: 'hosts on which no other workload made an IMDSv1 call: one fix of this workload frees them',
  hosts: 'the 10 that called most recently',
  accounts: '',
  regions: '',
  first_seen: '',
  last_seen: '',
  first_v1: 'null without IMDSv1 calls',
  last_v1: 'the same',
  trend_v1: 'IMDSv1 calls in equal parts of the window, oldest first',
  advice_kind: 'the advice for its team: [How to require tokens](enforce.md#tell-each-team-what-to-change)',
  advice_headline: 'the advice in one sentence',
  triage:
    'what people decided about it: [Triage](operate.md#triage). `ended` says why a state is `open` that somebody had set to `fixed` or `exception`. It changes no verdict',
};

export const ALERT = {
  id: 'the same at every attempt to deliver the alert',
  rule: 'the [rule](operate.md#alerts)',
  subject: 'the id of an offender, a host, a group or a plan; `summary` if one alert stands for many',
  dedup_key: 'the same for all alerts about one condition: that it began, that it goes on, that it is over',
  state: '`resolved`: what an earlier alert with this `dedup_key` has reported is over',
  ends: 'false: the alert reports an event that has no end, and no `resolved` alert follows',
  time: 'when the condition was found, or was found to be over',
  started: 'when the condition was first reported; null if that is not known any more',
  ended: 'when the condition was found to be over; null while it lasts',
  severity: 'of a `resolved` alert: the severity of what is over',
  title: '',
  text: '',
  link: 'a page of the collector; null if the collector does not know its own address',
  object:
    'the thing that the alert is about, see below; null in a summary, in a test, and in an alert of an earlier release',
  hosts: 'hosts that are concerned (`id`, `name`): of an offender those that called last, at most 10',
};

export const ALERT_OBJECT = {
  type: '',
  id: '',
  name: '',
  account: 'the cloud account, if there is exactly one',
  region: 'the region, if there is exactly one',
  accounts: 'all accounts in which an offender or a group was seen',
  regions: 'the same for regions',
  tags: 'tags of a host',
  owner: 'the team or person that is responsible for an offender: [Owners](operate.md#owners)',
};

export const SEVERITY = {
  credentials: 'role credentials were delivered over IMDSv1',
  v1: 'it made IMDSv1 calls that were not a fallback',
  fallback: 'all its IMDSv1 calls followed a token request that failed',
  rejected: 'all its IMDSv1 calls were refused with 401',
  stale_token: 'its reads with a token were refused with 401: the token is stale or wrong',
  blocked: 'a rule on the host stopped its calls, so their version is not known',
  adapts: 'it calls without a token first, and takes one when it is refused: nothing breaks',
  none: 'it made IMDSv2 calls only',
};

export const VERDICT = {
  ready:
    'the host was watched all the time, and nobody called without a token. Where `start_seen` is false, this is proven for the running state only',
  blocked: 'callers without a token would fail when tokens are required; they are named',
  fallback: 'the only callers without a token are clients that speak IMDSv2 and whose token requests failed',
  rejected:
    'calls without a token are refused with 401: tokens are required already, and something is broken',
  enforced: 'the cloud reports that tokens are required, and nobody was seen trying without one',
  unproven: 'no call without a token was seen, but the host was not watched all the time; the gaps are named',
};

export const GAP_REASON = {
  not_yet_watched: "from the start of the window to the host's first report",
  agent_not_running: 'between two reports of the same boot',
  boot: 'between the reports of two boots',
  capture_not_live: 'the agent ran, but a capture was not open',
  losses: 'something was lost or could not be judged; `detail` names the counters',
  no_report: 'since the last report',
  cloud_saw_more: 'the cloud counted more calls without a token than the agent saw',
  not_kept:
    'the host reported more than the collector keeps of one host, invalid records, or records dated more than a day after the collector; `detail` has the numbers. Never tolerated',
};

/** Describes the counters of coverage reports and of `watch`. */
export const LOSSES = {
  'capture.dropped': 'packets that the kernel dropped because its ring was full',
  'capture.blind':
    'times that the captured interface was found to be gone; the capture is opened again within a second of its return',
  'capture.reopen_failures': 'failed attempts to open a capture again',
  'capture.damaged': 'records of a capture file that could not be read',
  'capture.bad_times': 'packets of a capture file whose time is damaged',
  'capture.unknown_link_type': 'packets of a capture file whose link type is not known',
  'coverage.unseen_connections':
    'connections that the kernel reported, and that the agent counted neither as seen nor as missed. The collector counts them',
  'run.open_calls':
    'calls that had begun at the last report of an agent that was killed: they may not be recorded. The collector counts them',
  'coverage.missed':
    'connections that the kernel reported and of which the capture saw no packet: they took another way',
  'namespaces.not_followed_ms':
    'milliseconds during which a connection to an endpoint existed in another network namespace without a capture',
  'namespaces.not_watched_ms':
    'milliseconds during which a network namespace with its own way to the network existed without a capture, or processes did not show their namespace',
  'decode.link_type': 'packets whose link layer is not known',
  'decode.ip_fragment': 'IP fragments, which are not reassembled',
  'decode.cut_short': 'packets that end within a header',
  'decode.malformed': 'packets whose headers contradict each other',
  'conversation.gaps_in_heads':
    'holes in a stream outside a body: a part of a request or an answer was not captured',
  'conversation.connections_evicted':
    'connections that were given up because 8,192 others were followed already',
  'conversation.half_open_evicted': 'the same for connections without an established handshake',
  'conversation.malformed_requests': 'streams to the service that are not HTTP/1',
  'conversation.malformed_answers': 'streams from the service that are not HTTP/1',
  'conversation.unjudged_answers':
    'answers whose request was not captured, and that do not show its version: no call is reported',
  'conversation.unseen_requests': 'requests whose bytes were not captured and that got no answer',
  'conversation.unfinished_requests': 'requests that ended within their first line',
  'conversation.late_answers': 'answers that came after their request was reported as unanswered',
  'conversation.surplus_requests': 'requests of one connection beyond the number that may wait for an answer',
  'conversation.pending_bytes_bound': 'times that out-of-order bytes were given up to save memory',
  'conversation.conflicting_segments':
    'segments whose bytes differ from an earlier copy: the receiver may have read either',
  'conversation.unverified_copies':
    'copies of bytes to the service that came too late to be compared with the first ones',
  'conversation.urgent_segments':
    'segments to the service with urgent data, which its kernel may take out of the stream',
  'conversation.segments_after_end': 'connections that went on after a reset or a close that was believed',
  'conversation.contradicted_connections':
    'connections on which the service acknowledged bytes that had been ignored',
  'conversation.one_sided_connections': 'connections with a request of which only one direction was captured',
  'conversation.upgraded_connections': 'connections that switched to another protocol',
  'attribution.ring_lost': "the kernel's records that did not fit into the ring",
  'attribution.owners_lost':
    'reports of the program on a tracepoint that did not fit into its buffers, or for which the kernel did not run it',
  'attribution.process_overruns':
    "the kernel's queue of process events was full: processes that ended then may be unknown",
  'attribution.recursion_misses': 'state changes of sockets for which the kernel did not run our program',
  'attribution.overlapping':
    'connections of two network namespaces with the same addresses and ports at one time: their packets cannot be told apart',
  'attribution.evicted': 'sockets that were forgotten because too many were known',
  'calls.truncated': 'calls of which a part was not captured',
  'calls.unattributed': 'calls whose process was not found',
  'calls.verdict_disagreements': "calls whose version by the service's own answer differs from ours",
  'calls.unproven':
    'calls that look like IMDSv2 without proof: the request is odd, and the answer does not show its version',
  'watch.stalled_ms':
    'milliseconds during which the agent itself did not run (the machine was suspended or had no processor time)',
  'spool.v1_overflowed': 'IMDSv1 calls that were deleted because the spool was full',
  'spool.v1_lost': 'IMDSv1 calls that were lost to a damaged disk',
  'spool.coverage_overflowed': 'coverage reports that were deleted because the spool was full',
  'spool.coverage_lost': 'coverage reports that were lost to a damaged disk',
  'spool.rejected': 'records that the collector refused',
  'spool.unreadable_files': 'files of the spool that could not be read',
  'spool.ledgers_lost': "times that the spool's record of delivered batches was lost",
  'spool.batches_forgotten_by_collector': 'batches that the collector acknowledged and no longer knows',
};
