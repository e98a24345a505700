/**
 * Tests for whom a relay calls, by values and with a directory in place of /proc. The set-ups are those of
 * public reports; each says where it is from.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Relays, type RequestFacts } from '../../../../agent/attribution/relays.ts';
import type { FlowTuple } from '../../../../agent/flow.ts';

const proc = mkdtempSync(join(tmpdir(), 'relays-'));
after(() => rmSync(proc, { recursive: true }));

const HOST = 1;
const POD = 2;
const POD_PATH = { netns: POD, path: '/proc/1/ns/net' };
const GET: RequestFacts = {
  method: 'GET',
  path: '/latest/',
  query: null,
  userAgent: 'curl',
  hasToken: false,
};

let pids = 100;
function process(netns: number, ...targets: string[]) {
  const pid = pids++;
  mkdirSync(join(proc, `${pid}/fd`), { recursive: true });
  targets.forEach((target, number) => void symlinkSync(target, join(proc, `${pid}/fd/${number + 3}`)));
  return { pid, startTicks: pid, netns };
}

const flow = (port: number): FlowTuple => ({
  localAddress: '172.31.99.2',
  localPort: port,
  remoteAddress: '169.254.169.254',
  remotePort: 80,
});
const serverOf = (port: number): FlowTuple => ({
  localAddress: '127.0.0.1',
  localPort: 15001,
  remoteAddress: '172.31.99.2',
  remotePort: port,
});

/** `listener`: the inode of the socket that listens on the redirected port. */
function relaysWith({
  listener = 500,
  accepted = {},
}: {
  listener?: number | null;
  accepted?: Record<number, number>;
}) {
  return new Relays<string>(
    {
      listenerInode: () => listener,
      socketInode: (_, { remotePort }) => accepted[remotePort] ?? null,
    },
    proc,
  );
}

describe('a relay', () => {
  it('a sidecar that a redirect leads to calls for the application (istio.io, "Sidecar injection": port 15001)', () => {
    const relays = relaysWith({});
    const sidecar = process(POD, 'socket:[500]');
    relays.addTranslated('app', process(POD), flow(1), POD_PATH, serverOf(1), null, 0);
    assert.deepEqual(relays.callerOf(sidecar, {}, GET, 10), {
      caller: 'app',
      kind: 'redirect',
      isOnly: true,
    });
    assert.equal(relays.knownKind(sidecar), 'redirect');
  });

  it('a sidecar with one connection to the service for several of the application (linkerd.io, "Protocol detection")', () => {
    const relays = relaysWith({});
    const sidecar = process(POD, 'socket:[500]');
    const upstream = {};
    relays.addTranslated('app', process(POD), flow(1), POD_PATH, serverOf(1), null, 0);
    assert.equal(relays.callerOf(sidecar, upstream, GET, 10)?.caller, 'app');
    assert.equal(relays.callerOf(sidecar, upstream, GET, 20)?.caller, 'app');
    assert.equal(relays.callerOf(sidecar, {}, GET, 30)?.caller, 'app');
  });

  it('a worker that holds only the connection it accepted (nginx.org, "stream proxy", several workers)', () => {
    const relays = relaysWith({ accepted: { 1: 700 } });
    relays.addTranslated('app', process(POD), flow(1), POD_PATH, serverOf(1), null, 0);
    assert.equal(relays.callerOf(process(POD, 'socket:[700]'), {}, GET, 10)?.caller, 'app');
  });

  it('a node proxy calls for the pod with the same request (kube2iam, server/server.go, ReverseProxy)', () => {
    const relays = relaysWith({});
    const proxy = process(HOST, 'socket:[500]');
    const [pod, where] = [process(POD), { netns: HOST, path: null }];
    relays.addTranslated('pod', pod, flow(1), where, serverOf(1), GET, 0);
    assert.equal(relays.callerOf(proxy, {}, { ...GET, path: '/latest/other' }, 10), null);
    assert.equal(
      relays.callerOf(proxy, {}, { ...GET, hasToken: true }, 10),
      null,
      'another version is another call',
    );
    assert.equal(relays.callerOf(proxy, {}, GET, 10)?.kind, 'translation');
    assert.equal(relays.callerOf(proxy, {}, GET, 11), null, 'one request is sent on once');
    assert.equal(relays.endRequest(HOST, flow(1)), true);
  });

  it('a node proxy that answers from its memory makes no call (kube2iam, iam.go, cache of credentials)', () => {
    const relays = relaysWith({});
    relays.addTranslated('pod', process(POD), flow(1), { netns: HOST, path: null }, serverOf(1), GET, 0);
    assert.equal(relays.endRequest(HOST, flow(1)), false);
  });

  it('a user-mode network holds a tunnel device (rootless-containers/slirp4netns, README; passt.top, pasta)', () => {
    const relays = relaysWith({});
    assert.equal(relays.isUserNetwork(process(HOST, '/dev/net/tun')), true);
    assert.equal(relays.isUserNetwork(process(HOST, '/dev/null')), false);
  });

  it('a sidecar of another mesh, on its own port (github.com/linkerd/linkerd2, issue 4851: all output to port 4140)', () => {
    const relays = relaysWith({ listener: 414 });
    const proxy = process(POD, 'socket:[3]', 'socket:[414]');
    const server = { ...serverOf(1), localPort: 4140 };
    relays.addTranslated('app', process(POD), flow(1), POD_PATH, server, null, 0);
    assert.equal(relays.callerOf(proxy, {}, GET, 10)?.caller, 'app');
  });

  it('a proxy in the host network behind a rule for docker0 (github.com/lyft/metadataproxy, issue 74)', () => {
    const relays = relaysWith({});
    const proxy = process(HOST, 'socket:[500]');
    const server = { ...serverOf(1), localPort: 8000 };
    relays.addTranslated('container', process(POD), flow(1), { netns: HOST, path: null }, server, GET, 0);
    assert.equal(relays.callerOf(proxy, {}, GET, 10)?.caller, 'container');
    assert.equal(relays.knownKind(proxy), 'translation');
  });

  it('an application whose addresses the sidecar leaves out calls for itself (github.com/jtblin/kube2iam, issue 208)', () => {
    // traffic.sidecar.istio.io/excludeOutboundIPRanges: its connection is not translated, so it is no leg.
    const relays = relaysWith({});
    assert.equal(relays.callerOf(process(POD), {}, GET, 10), null);
  });

  it('calls for itself if it holds no end of the connection', () => {
    const relays = relaysWith({ listener: 501, accepted: { 1: 502 } });
    relays.addTranslated('app', process(POD), flow(1), POD_PATH, serverOf(1), null, 0);
    assert.equal(relays.callerOf(process(POD, 'socket:[500]'), {}, GET, 10), null);
  });

  it('calls for itself after the last connection to it was closed', () => {
    const relays = relaysWith({});
    const sidecar = process(POD, 'socket:[500]');
    relays.addTranslated('app', process(POD), flow(1), POD_PATH, serverOf(1), null, 0);
    relays.closeConnection(POD, flow(1), 100);
    assert.equal(relays.callerOf(sidecar, {}, GET, 1_000_000), null);
  });

  it('says when another program may have been the one', () => {
    const relays = relaysWith({});
    const sidecar = process(POD, 'socket:[500]');
    relays.addTranslated('first', process(POD), flow(1), POD_PATH, serverOf(1), null, 0);
    relays.addTranslated('second', process(POD), flow(2), POD_PATH, serverOf(2), null, 5);
    assert.deepEqual(relays.callerOf(sidecar, {}, GET, 10), {
      caller: 'first',
      kind: 'redirect',
      isOnly: false,
    });
    assert.deepEqual(relays.callerOf(sidecar, {}, GET, 11), {
      caller: 'second',
      kind: 'redirect',
      isOnly: true,
    });
  });

  it('keeps a bounded number of connections', () => {
    const relays = relaysWith({});
    const app = process(POD);
    for (let port = 1; port <= 5_000; port++)
      relays.addTranslated('app', app, flow(port), POD_PATH, serverOf(port), null, 0);
    assert.deepEqual([relays.counters().open_legs, relays.counters().legs_evicted], [1_024, 3_976]);
  });
});
