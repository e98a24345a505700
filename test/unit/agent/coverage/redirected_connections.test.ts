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
  connections.askAll();
  connections.askAll();
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
