import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ComparedTruth, compareCalls, describeDifference } from '../../lab/compare.ts';
import { type Call, call as callSchema } from '../../protocol/call.ts';

const CALL: Call = callSchema.parse({
  id: '01940000-0000-7000-8000-000000000000',
  time: '2026-01-01T00:00:00.000001Z',
  'imds.version': 1,
  'imds.kind': 'read',
  'imds.category': 'metadata',
  'imds.role': null,
  'imds.endpoint': 'ipv4',
  'imds.server_version': 1,
  'imds.fallback': null,
  'http.request.method': 'GET',
  'url.path': '/latest/meta-data/instance-id',
  'url.query': null,
  'user_agent.original': 'curl/8',
  'http.response.status_code': 200,
  outcome: 'answered',
  duration_ms: 1,
  'source.address': '10.1.2.1',
  'source.port': 40000,
  'destination.address': '169.254.169.254',
  'destination.port': 80,
  process: {
    pid: 100,
    start_time: '2026-01-01T00:00:00.00Z',
    name: 'curl',
    'executable.path': '/usr/bin/curl',
    command_args: null,
    working_directory: null,
    'owner.uid': 0,
    'owner.name': 'root',
    script: null,
    ancestors: [{ pid: 99, name: 'bash', 'executable.path': '/usr/bin/bash', command_args: null }],
  },
  container: null,
  k8s: null,
  systemd: null,
  'attribution.method': 'ebpf',
  'attribution.confidence': 'exact',
  host: { id: 'h', name: 'h' },
});

const TRUTH: ComparedTruth = {
  seq: 1,
  clientAddress: '10.1.2.1',
  clientPort: 40000,
  serverAddress: '169.254.169.254',
  method: 'GET',
  target: '/latest/meta-data/instance-id',
  version: 1,
  status: 200,
  ttlHeaderSent: false,
  category: 'metadata',
  owner: { name: 'curl-v1', pid: 100, caller: 'itself', executable: '/usr/bin/curl', script: null },
};

const brief = (truths: ComparedTruth[], calls: Call[]) =>
  compareCalls(truths, calls).map(({ kind, field }) => (field === undefined ? kind : `${kind} ${field}`));

describe('comparison of calls with what happened', () => {
  it('finds nothing where all is reported once and right', () => {
    assert.deepEqual(brief([TRUTH], [CALL]), []);
  });

  it('finds missing, duplicate and invented calls', () => {
    assert.deepEqual(brief([TRUTH], []), ['missing']);
    assert.deepEqual(brief([TRUTH], [CALL, CALL]), ['doubled']);
    assert.deepEqual(brief([], [CALL]), ['unexpected']);
    assert.deepEqual(brief([TRUTH], [{ ...CALL, 'source.port': 40001 }]), ['missing', 'unexpected']);
    assert.deepEqual(brief([TRUTH], [{ ...CALL, 'http.request.method': 'HEAD' }]), ['missing', 'unexpected']);
  });

  it('finds each wrong field', () => {
    const wrong = (change: Partial<Call>) => brief([TRUTH], [{ ...CALL, ...change }]);
    assert.deepEqual(wrong({ 'imds.version': 2 }), ['wrong imds.version']);
    assert.deepEqual(wrong({ 'imds.server_version': 2 }), ['wrong imds.server_version']);
    assert.deepEqual(wrong({ 'imds.category': 'user-data' }), ['wrong imds.category']);
    assert.deepEqual(wrong({ 'imds.fallback': 'token_refused' }), ['wrong imds.fallback']);
    assert.deepEqual(wrong({ 'http.response.status_code': 401 }), ['wrong http.response.status_code']);
    assert.deepEqual(wrong({ outcome: 'unanswered', 'http.response.status_code': null }), [
      'wrong http.response.status_code',
      'wrong outcome answered',
    ]);
    const caller = CALL.process!;
    assert.deepEqual(wrong({ process: { ...caller, pid: 101 } }), ['wrong process.pid']);
    assert.deepEqual(wrong({ process: { ...caller, script: 'x.py' } }), ['wrong process.script']);
    assert.deepEqual(wrong({ process: { ...caller, 'executable.path': '/usr/bin/wget' } }), [
      'wrong process.executable.path',
    ]);
    assert.deepEqual(wrong({ process: null }), ['wrong process.executable.path', 'wrong process.pid']);
  });

  it('takes a child for its owner only where the lab says so', () => {
    const childOf99 = { ...TRUTH, owner: { ...TRUTH.owner!, pid: 99, caller: 'child' as const } };
    assert.deepEqual(brief([childOf99], [CALL]), []);
    assert.deepEqual(brief([{ ...TRUTH, owner: { ...TRUTH.owner!, pid: 99 } }], [CALL]), [
      'wrong process.pid',
    ]);
  });

  it('compares container, pod and unit where the lab knows them', () => {
    const container = { id: 'a'.repeat(64), name: 'job', 'image.name': 'image:1', runtime: 'docker' };
    const truth = { ...TRUTH, workload: { container, k8s: null, systemd: null } };
    assert.deepEqual(brief([truth], [{ ...CALL, container }]), []);
    assert.deepEqual(brief([truth], [CALL]), ['wrong container']);
    assert.deepEqual(brief([truth], [{ ...CALL, container: { ...container, name: null } }]), [
      'wrong container.name',
    ]);
    const systemd = { unit: 'job.service', slice: 'system.slice' };
    assert.deepEqual(brief([truth], [{ ...CALL, container, systemd }]), ['wrong systemd']);
  });

  it('takes an answer that never reached the caller for either', () => {
    const unheard = { ...TRUTH, unheard: true as const };
    const unanswered: Call = {
      ...CALL,
      outcome: 'unanswered',
      'http.response.status_code': null,
      'imds.server_version': null,
    };
    assert.deepEqual(brief([unheard], [CALL]), []);
    assert.deepEqual(brief([unheard], [unanswered]), []);
    assert.notDeepEqual(brief([TRUTH], [unanswered]), []);
  });

  it('pairs equal requests of a connection in their order', () => {
    const later = { ...TRUTH, seq: 2, version: 2 as const, ttlHeaderSent: true };
    const laterCall: Call = {
      ...CALL,
      time: '2026-01-01T00:00:00.500000Z',
      'imds.version': 2,
      'imds.server_version': 2,
    };
    assert.deepEqual(brief([later, TRUTH], [laterCall, CALL]), []);
  });

  it('lets a request that the service could not parse excuse one call', () => {
    const refused = { ...TRUTH, method: null, target: null, version: null, status: 400, owner: null };
    assert.deepEqual(brief([refused], []), []);
    assert.deepEqual(brief([refused], [CALL]), []);
    assert.deepEqual(brief([refused], [CALL, { ...CALL, 'url.path': '/' }]), ['unexpected']);
  });

  it('knows an absolute-form target as its path', () => {
    assert.deepEqual(
      brief([{ ...TRUTH, target: 'http://169.254.169.254/latest/meta-data/instance-id' }], [CALL]),
      [],
    );
  });

  it('compares the query, and takes a masked secret for what it hides', () => {
    const withQuery = { ...TRUTH, target: '/latest/meta-data/instance-id?token=abc&n=1' };
    const reported = (query: string | null) => brief([withQuery], [{ ...CALL, 'url.query': query }]);
    assert.deepEqual(reported('token=abc&n=1'), []);
    assert.deepEqual(reported('token=****&n=1'), []);
    assert.deepEqual(reported('token=****&n=2'), ['wrong url.query']);
    assert.deepEqual(reported(null), ['wrong url.query']);
    assert.deepEqual(brief([TRUTH], [{ ...CALL, 'url.query': '****' }]), ['wrong url.query']);
  });

  it('describes a difference in one line', () => {
    const [difference] = compareCalls([TRUTH], [{ ...CALL, 'imds.version': 2 }]);
    assert.equal(
      describeDifference(difference!),
      'wrong imds.version: 10.1.2.1 40000 → 169.254.169.254 GET /latest/meta-data/instance-id (curl-v1): 2, should be 1',
    );
  });
});
