/** Makes the record by which somebody tries a destination of a stream. It is about nothing that exists, and says so. */
import { randomUUID } from 'node:crypto';
import type { StreamName } from '../contract/export.ts';
import type { Finding } from '../contract/finding.ts';
import type { ServedCall } from '../contract/served_call.ts';
import type { ExportItem } from '../export/item.ts';
import { toTimestamp } from '../store/time.ts';
import { testAlert } from './test_alert.ts';

const HOST_ID = 'imdswatch-test';
const NOTHING = 'This is only a test of imdswatch.';
const NO_OFFENDER = '0000000000000000';

/** `nowUs`: microseconds since 1970. */
export function testItem(
  stream: StreamName,
  destination: string,
  nowUs: number,
  link: string | null,
): ExportItem {
  const time = toTimestamp(nowUs);
  switch (stream) {
    case 'alerts':
      return { stream, alert: testAlert(destination, 'new_offender', nowUs, link) };
    case 'calls':
      return { stream, call: testCall(time), stored: time };
    case 'findings':
      return { stream, finding: testFinding(time, link) };
    case 'audit':
      return { stream, entry: testEntry(time, destination) };
  }
}

function testEntry(time: string, destination: string) {
  return {
    ...{ id: 0, time, actor: 'imdswatch', action: 'alert_destination.test', subject: destination },
    ...{ detail: NOTHING, source_address: null },
  };
}

function testCall(time: string): ServedCall {
  return {
    ...{ id: randomUUID(), time, 'imds.version': 1, 'imds.kind': 'read', 'imds.category': 'metadata' },
    ...{ 'imds.role': null, 'imds.endpoint': 'ipv4', 'imds.server_version': null, 'imds.fallback': null },
    ...{ 'imds.hops': null, 'imds.token_hop_limit': null, 'http.request.method': 'GET' },
    ...{ 'url.path': '/latest/meta-data/', 'url.query': null, 'user_agent.original': NOTHING },
    ...{ 'http.response.status_code': 200, outcome: 'answered', duration_ms: 0 },
    ...{ 'source.address': '192.0.2.1', 'source.port': 1, 'destination.address': '169.254.169.254' },
    ...{ 'destination.port': 80, process: null, container: null, k8s: null, systemd: null },
    ...{ 'attribution.method': 'none', 'attribution.confidence': 'none' },
    host: { id: HOST_ID, name: HOST_ID },
    offender: NO_OFFENDER,
  };
}

function testFinding(time: string, link: string | null): Finding {
  return {
    ...{ id: randomUUID(), key: `verdict/${HOST_ID}`, change: 'resolved', type: 'verdict' },
    ...{ time, first_seen: time, last_seen: time, severity: 'info', link },
    ...{ title: 'Test finding from imdswatch', text: NOTHING },
    host: {
      ...{ id: HOST_ID, name: HOST_ID, account: '000000000000', region: 'us-east-1', zone: null, type: null },
      ...{ image_id: null, tags: {}, http_tokens: 'required', hop_limit: 1 },
    },
    ...{ verdict: 'enforced', reason: NOTHING, coverage_percent: 100 },
  };
}
