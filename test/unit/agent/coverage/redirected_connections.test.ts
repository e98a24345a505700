/** Tests that the kernel is asked only about connections of which no packet was seen, and once about each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KernelConnection } from '../../../../agent/attribution/attributor.ts';
import { RedirectedConnections } from '../../../../agent/coverage/redirected_connections.ts';

function connection(initialSequence: number, kind: KernelConnection['kind'] = 'established') {
  return {
    ...{ kind, netns: 1, initialSequence },
    tuple: { localAddress: '10.0.0.1', localPort: 1, remoteAddress: '169.254.169.254', remotePort: 80 },
    ...{ owner: () => null, threadId: () => null, isOpen: () => true },
  } satisfies KernelConnection;
}

test('the kernel is asked once about each connection of which no packet was seen', () => {
  const asked: number[] = [];
  const connections = new RedirectedConnections(({ initialSequence }) => {
    asked.push(initialSequence);
    return initialSequence % 2 === 1;
  });
  const [seen, odd, even, late, failed] = [1, 3, 4, 5, 7].map((sequence) =>
    connection(sequence, sequence === 7 ? 'failed' : 'established'),
  ) as [KernelConnection, KernelConnection, KernelConnection, KernelConnection, KernelConnection];
  for (const each of [seen, odd, even, failed]) connections.add(each);
  connections.delete(seen);
  connections.askUntil(0);
  connections.askUntil(0);
  assert.deepEqual(asked, [3, 4], 'not about the one that was seen, nor about the failed attempt');
  assert.deepEqual(
    [seen, odd, even, failed].map((each) => connections.isRedirected(each)),
    [false, true, false, false],
  );
  connections.add(late);
  assert.equal(connections.isRedirected(late), true, 'it is asked when the answer matters');
  assert.deepEqual(asked, [3, 4, 5]);
  connections.delete(odd);
  assert.equal(connections.isRedirected(odd), false);
});

test('the packets of a later connection may still wait, so it is not asked about', () => {
  const asked: number[] = [];
  const connections = new RedirectedConnections(({ initialSequence }) => {
    asked.push(initialSequence);
    return true;
  });
  const [before, after] = [
    { ...connection(1), reportedUs: 1_000 },
    { ...connection(3), reportedUs: 1_001 },
  ];
  connections.add(before);
  connections.add(after);
  connections.askUntil(1_000);
  assert.deepEqual(asked, [1]);
  connections.delete(after); // its packets came
  connections.askUntil(2_000);
  assert.deepEqual(asked, [1]);
});
