/** Questions of `imdswatch enforce` to a collector on another machine. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { CollectorClient } from '../../../../cli/collector_client/collector_client.ts';
import { openRemoteFindings } from '../../../../cli/enforce/remote_findings.ts';
import { MAX_WATCHED_HOSTS } from '../../../../collector/contract/enforcement.ts';

interface Question {
  hosts: string[];
  scaling_groups: string[];
}

test('refused calls are asked for in parts, whatever the number of hosts is', async (t) => {
  const asked: Question[] = [];
  const now = '2026-03-01T00:00:00.000000Z';
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    response.setHeader('content-type', 'application/json');
    if (request.url?.endsWith('/calls') !== true) {
      response.end(JSON.stringify({ now, version: '1.0.0', readiness_window_days: 14 }));
      return;
    }
    const question = JSON.parse(body) as Question;
    asked.push(question);
    const call = {
      host: question.hosts[0] ?? 'i-new',
      tags: {},
      time: now,
      caller: { id: 'c', title: '/opt/old' },
    };
    response.end(JSON.stringify({ now, items: [{ id: `call-${asked.length}`, ...call }] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new CollectorClient({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ token: () => 'secret', tokenFrom: 'a test', caFile: null },
  });
  t.after(() => {
    client.close();
    server.close();
  });
  const findings = await openRemoteFindings(client, 'viewer');
  const hostIds = Array.from({ length: MAX_WATCHED_HOSTS + 1 }, (_, at) => `i-${at}`);
  const calls = await findings.refusedCalls(0, { hostIds, scalingGroups: ['web'] });
  assert.deepEqual(
    calls.map(({ id, hostId }) => [id, hostId]),
    [
      ['call-1', 'i-0'],
      ['call-2', `i-${MAX_WATCHED_HOSTS}`],
    ],
  );
  assert.deepEqual(
    asked.map(({ hosts, scaling_groups }) => [hosts.length, scaling_groups]),
    [
      [MAX_WATCHED_HOSTS, ['web']],
      [1, []],
    ],
  );
  // A plan about a launch template may have no host yet.
  const launched = await findings.refusedCalls(0, { hostIds: [], scalingGroups: ['web'] });
  assert.deepEqual(
    launched.map(({ hostId }) => hostId),
    ['i-new'],
  );
});
