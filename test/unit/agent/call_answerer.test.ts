/**
 * Tests for whom relays in a row call, and which callers are marked, by values. The set-ups are those of public
 * reports; each says where it is from.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { recordPlace } from '../../../agent/attribution/answerer.ts';
import { Relays } from '../../../agent/attribution/relays.ts';
import type { Translations } from '../../../agent/attribution/translations.ts';
import { CallAnswerer } from '../../../agent/call_answerer.ts';
import { type ConnectionContext, newContext } from '../../../agent/connection_context.ts';
import type { Exchange, ExchangeRequest } from '../../../agent/conversation/exchange.ts';
import { RequestHead } from '../../../agent/conversation/request.ts';
import type { FlowTuple } from '../../../agent/flow.ts';
import { processFacts } from '../../support/collector/calls.ts';

const proc = mkdtempSync(join(tmpdir(), 'answerer-'));
after(() => rmSync(proc, { recursive: true }));

const HOST = 1;
const POD = 2;
const SERVICE = '169.254.169.254';
const GET: ExchangeRequest = {
  ...{ method: 'GET', path: '/latest/', query: null, userAgent: 'curl', hasToken: false },
  ...{ isWhole: true, form: 'plain' },
};
const SIDECAR_PORT = 15_001;
const PROXY_PORT = 8_181;

/** Makes a process; one that listens on a port holds the socket whose inode number is that port. */
function contextOf(pid: number, netns: number, listens: number | null): ConnectionContext {
  mkdirSync(join(proc, `${pid}/fd`), { recursive: true });
  if (listens !== null) symlinkSync(`socket:[${listens}]`, join(proc, `${pid}/fd/3`));
  const snapshot = { pid, startTicks: pid, name: `p${pid}`, executable: null, uid: 0, netns };
  const nothing = { args: null, argsTruncated: false, cgroupId: null, ancestors: null };
  const context = newContext({ ...snapshot, ...nothing, method: 'ebpf', confidence: 'exact' }, 1);
  context.process = processFacts({ pid, name: `p${pid}`, 'executable.path': null, script: null });
  return context;
}

const flow = (localAddress: string): FlowTuple => ({
  ...{ localAddress, localPort: 40_000, remoteAddress: SERVICE, remotePort: 80 },
});
const server = (localPort: number): FlowTuple => ({
  ...{ localAddress: '127.0.0.1', localPort, remoteAddress: '10.0.0.2', remotePort: 40_000 },
});

/** `redirected`: the far end of connections from an address, by the kernel that rewrites them. */
function answererWith(redirected: Record<string, FlowTuple>) {
  const translations = {
    ownNetns: HOST,
    translationOf: (_: unknown, { localAddress }: FlowTuple) => {
      const far = redirected[localAddress];
      return far === undefined ? { kind: 'untranslated' } : { kind: 'translated', server: far };
    },
    isLocalAddress: () => false,
    hasTunnel: () => false,
    socketInode: () => null,
    listenerInode: (_: unknown, __: string, port: number) => port,
  } as unknown as Translations;
  const relays = new Relays<ConnectionContext>(translations, proc);
  const routes = {
    translations,
    relays,
    namespacePath: () => null,
    findRedirected: () => {},
    capturesOthers: () => true,
  };
  return new CallAnswerer(routes, (address) => address === SERVICE);
}

const exchange = (relayedFor: string | null = null) =>
  ({ request: { ...GET, relayedFor }, response: null }) as unknown as Exchange;

describe('relays in a row', () => {
  it('make one call, for the first program (github.com/jtblin/kube2iam, issue 208: in an Istio mesh)', () => {
    const answerer = answererWith({ app: server(SIDECAR_PORT), sidecar: server(PROXY_PORT) });
    const app = contextOf(1, POD, null);
    const sidecar = contextOf(2, POD, SIDECAR_PORT);
    const proxy = contextOf(3, HOST, PROXY_PORT);
    const kernel = { tuple: flow('app'), owner: () => app.owner, isOpen: () => true };
    assert.equal(
      answerer.noteRedirected(kernel as never, { netns: POD, path: null }, 0, () => app),
      true,
    );
    recordPlace(sidecar.places, HOST, 'arrived');
    answerer.findRelay(flow('sidecar'), sidecar, GET, 10);
    assert.equal(sidecar.relayed?.caller, app);
    recordPlace(proxy.places, HOST, 'left');
    answerer.findRelay(flow('host'), proxy, GET, 20);
    assert.equal(proxy.relayed?.caller, app);
    assert.equal(answerer.relayFields(proxy, exchange()).via?.kind, 'translation');
    assert.equal(answerer.relayFields(proxy, exchange()).via?.pid, 3);
    assert.equal(answerer.wasRelayed(flow('host'), proxy), false, 'the one call that counts');
    assert.equal(answerer.wasRelayed(flow('sidecar'), sidecar), true);
  });

  it('are uncertain together if one of them is', () => {
    const answerer = answererWith({
      a: server(SIDECAR_PORT),
      b: server(SIDECAR_PORT),
      sidecar: server(PROXY_PORT),
    });
    const sidecar = contextOf(12, POD, SIDECAR_PORT);
    const proxy = contextOf(13, HOST, PROXY_PORT);
    for (const [pid, address] of [
      [10, 'a'],
      [11, 'b'],
    ] as const) {
      const app = contextOf(pid, POD, null);
      const kernel = { tuple: flow(address), owner: () => app.owner, isOpen: () => true };
      answerer.noteRedirected(kernel as never, { netns: POD, path: null }, 0, () => app);
    }
    recordPlace(sidecar.places, HOST, 'arrived');
    answerer.findRelay(flow('sidecar'), sidecar, GET, 10);
    recordPlace(proxy.places, HOST, 'left');
    answerer.findRelay(flow('host'), proxy, GET, 20);
    assert.deepEqual([sidecar.relayed?.isOnly, proxy.relayed?.isOnly], [false, false]);
  });

  it('end where a proxy answers from its memory: then nothing was sent on', () => {
    const answerer = answererWith({ app: server(SIDECAR_PORT), sidecar: server(PROXY_PORT) });
    const sidecar = contextOf(22, POD, SIDECAR_PORT);
    recordPlace(sidecar.places, HOST, 'arrived');
    answerer.findRelay(flow('sidecar'), sidecar, GET, 10);
    assert.equal(answerer.wasRelayed(flow('sidecar'), sidecar), false);
  });
});

/** Headers that proxies add to the requests that they send on, with the place that says so. */
const PROXIES: [program: string, header: string, source: string][] = [
  ['Squid', 'Via: 1.1 proxy (squid/5.7)', 'squid-cache.org, directive "via"'],
  ['Squid without Via', 'X-Forwarded-For: 10.0.0.7', 'squid-cache.org, directive "forwarded_for"'],
  ['Tinyproxy', 'Via: 1.1 tinyproxy (tinyproxy/1.11.1)', 'tinyproxy.conf(5), ViaProxyName'],
  ['Apache mod_proxy', 'Via: 1.1 gateway.internal', 'httpd.apache.org, directive ProxyVia'],
  ['HAProxy', 'x-forwarded-for: 10.0.0.7', 'docs.haproxy.org, "option forwardfor"'],
  ['HAProxy by RFC 7239', 'forwarded: proto=http;for=10.0.0.7', 'docs.haproxy.org, "option forwarded"'],
  ['Varnish', 'Via: 1.1 cache (Varnish/7.1)', 'varnish-cache.org, "Via"'],
  [
    'kube2iam for requests without a token',
    'X-Forwarded-For: 10.2.0.9',
    'github.com/jtblin/kube2iam, pull request 279',
  ],
  ['kiam', 'X-Forwarded-For: 10.2.0.9', 'github.com/uswitch/kiam, issue 359'],
  ['Envoy as an HTTP proxy', 'x-forwarded-for: 10.2.0.9', 'envoyproxy.io, "HTTP header manipulation"'],
];

describe('a caller that acts for others', () => {
  for (const [program, header, source] of PROXIES) {
    it(`is marked by what it adds to requests: ${program} (${source})`, () => {
      const head = new RequestHead(false);
      const bytes = Buffer.from(`GET /latest/ HTTP/1.1\r\nHost: ${SERVICE}\r\n${header}\r\n\r\n`);
      head.read(bytes, 0, bytes.length);
      const proxy = contextOf(100 + PROXIES.findIndex(([name]) => name === program), HOST, null);
      const fields = answererWith({}).relayFields(proxy, exchange(head.relayedFor));
      assert.deepEqual(fields, { via: null, 'caller.role': 'relay' });
    });
  }

  it('is not marked for headers that clients send for themselves', () => {
    const head = new RequestHead(false);
    const bytes = Buffer.from('GET / HTTP/1.1\r\nUser-Agent: via/1\r\nProxy-Connection: keep-alive\r\n\r\n');
    head.read(bytes, 0, bytes.length);
    assert.equal(
      answererWith({}).relayFields(contextOf(199, HOST, null), exchange(head.relayedFor))['caller.role'],
      null,
    );
  });
});
