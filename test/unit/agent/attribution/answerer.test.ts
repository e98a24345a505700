/**
 * Tests who answered a call, by values. The set-ups are those of public reports; each says where it is from.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type AnswererEvidence,
  answererOf,
  type ConnectionEnd,
  type Place,
  recordPlace,
} from '../../../../agent/attribution/answerer.ts';

const HOST = 1;
const POD = 2;
type Seen = [netns: number, ...devices: ('arrived' | 'left' | 'looped')[]];

function placesOf(...seen: Seen[]): Place[] {
  const places: Place[] = [];
  for (const [netns, ...devices] of seen) for (const device of devices) recordPlace(places, netns, device);
  return places;
}

interface SetUp {
  what: string;
  source: string;
  seen: Seen[];
  isCopied?: boolean;
  end?: ConnectionEnd;
  expected: ['service' | 'host', AnswererEvidence];
}

const SET_UPS: SetUp[] = [
  {
    what: "kube2iam: a rule of the host rewrites the pod's destination to the node's proxy",
    source: 'github.com/jtblin/kube2iam, README "iptables"',
    seen: [[HOST, 'arrived']],
    end: 'translated',
    expected: ['host', 'translation'],
  },
  {
    what: 'aws-vault --ec2-server: the address is on the loopback',
    source:
      'github.com/99designs/aws-vault, USAGE.md "--ec2-server"; server/ec2alias_linux.go (ip addr add … dev lo)',
    seen: [[HOST, 'looped']],
    expected: ['host', 'loopback'],
  },
  {
    what: 'Istio with TPROXY, or the address on a dummy interface: a socket of the host is the other end',
    source:
      'istio.io, "Traffic capture", interception mode TPROXY; kernel Documentation/networking/tproxy.rst',
    seen: [[HOST, 'arrived']],
    end: 'socket',
    expected: ['host', 'socket'],
  },
  {
    what: 'Docker: a container on a bridge behind masquerade reaches the service',
    source: 'docs.docker.com, "Packet filtering and firewalls"',
    seen: [[HOST, 'arrived']],
    isCopied: true,
    expected: ['service', 'departure'],
  },
  {
    what: 'a program on the host reaches the service',
    source: 'AWS EC2 user guide, "Use IMDS"',
    seen: [[HOST, 'left']],
    expected: ['service', 'departure'],
  },
  {
    what: 'ECS awsvpc: an interface of the task itself',
    source: 'AWS ECS developer guide, "Allocate a network interface for an Amazon ECS task"',
    seen: [[POD, 'left']],
    expected: ['service', 'departure'],
  },
  {
    what: 'metadataproxy: a rule for docker0 sends the calls of containers to 127.0.0.1:8000',
    source: 'github.com/lyft/metadataproxy, issue 74',
    seen: [[HOST, 'arrived']],
    end: 'translated',
    expected: ['host', 'translation'],
  },
  {
    what: "kiam: its rule catches the calls of its own server's pod as well",
    source: 'github.com/uswitch/kiam, issue 155',
    seen: [[HOST, 'arrived']],
    end: 'translated',
    expected: ['host', 'translation'],
  },
  {
    what: "kiam: the rule names the pods' interfaces, so a pod in the host's network reaches the service",
    source: 'github.com/uswitch/kiam, issue 119',
    seen: [[HOST, 'left']],
    expected: ['service', 'departure'],
  },
  {
    what: 'a test bed: the address is added to the loopback, and a server listens on it',
    source: 'github.com/alphagov/govuk-puppet, pull request 7716',
    seen: [[HOST, 'looped']],
    expected: ['host', 'loopback'],
  },
  {
    what: 'mock-ec2-metadata: the address is on the loopback, and a rule changes the port only',
    source: 'github.com/kreuzwerker/awsu, issue 33',
    seen: [[HOST, 'looped']],
    end: 'unknown',
    expected: ['host', 'loopback'],
  },
  {
    what: 'a mock in a container with the link-local address: the bridge shows the packets leave, so it counts',
    source: 'github.com/localstack/localstack, issue 8911',
    seen: [[HOST, 'arrived', 'left']],
    expected: ['service', 'departure'],
  },
  {
    what: 'a firewall or an unknown mechanism: the packets arrive and nothing shows where they went',
    source: 'the cautious verdict',
    seen: [[HOST, 'arrived']],
    end: 'unknown',
    expected: ['service', 'none'],
  },
];

describe('who answered', () => {
  for (const { what, source, seen, isCopied = false, end = 'unknown', expected } of SET_UPS) {
    it(`${what} (${source})`, () => {
      const { by, evidence } = answererOf(placesOf(...seen), isCopied, () => end);
      assert.deepEqual([by, evidence], expected);
    });
  }

  const ATTACKS: [string, Seen[], boolean][] = [
    ['a real call, and forged packets on the loopback', [[HOST, 'left', 'looped']], false],
    [
      'a real call, and its packets again into the host, which translates them',
      [
        [POD, 'left'],
        [HOST, 'arrived'],
      ],
      false,
    ],
    [
      'a namespace that makes up its own table and forwards to the host',
      [
        [POD, 'arrived'],
        [HOST, 'arrived', 'left'],
      ],
      false,
    ],
    [
      'two loopbacks',
      [
        [POD, 'looped'],
        [HOST, 'looped'],
      ],
      false,
    ],
    ['a second translation back to the service', [[HOST, 'arrived']], true],
  ];
  for (const [what, seen, isCopied] of ATTACKS) {
    it(`is the service for an attacker who pretends to be a local answerer: ${what}`, () => {
      for (const end of ['translated', 'socket', 'unknown'] as const) {
        assert.equal(answererOf(placesOf(...seen), isCopied, () => end).by, 'service');
      }
    });
  }

  const device = fc.constantFrom('arrived', 'left', 'looped');
  const packets = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), device), { maxLength: 80 });
  const ends = fc.constantFrom<ConnectionEnd>('translated', 'socket', 'unknown');

  it('is never the host once a packet was seen to leave, or with a translated copy, in any order', () => {
    fc.assert(
      fc.property(packets, fc.boolean(), ends, (seen, isCopied, end) => {
        const places: Place[] = [];
        for (const [netns, each] of seen) recordPlace(places, netns, each);
        const { by } = answererOf(places, isCopied, () => end);
        if (isCopied || seen.length === 0 || seen.some(([, each]) => each === 'left'))
          assert.equal(by, 'service');
        if (by === 'host') assert.ok(end !== 'unknown' || seen.every(([, each]) => each === 'looped'));
      }),
    );
  });
});
