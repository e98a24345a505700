/**
 * Secrets planted in names that engines, systemd and the user database give: none is in the facts of a call.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { parsePasswd } from '../../../../agent/linux/passwd.ts';
import { ENCODINGS } from '../../../support/agent/identity/secret_arbitraries.ts';
import { SecretFinder } from '../../../support/agent/identity/secret_finder.ts';
import {
  A,
  DOCKER_PATH,
  KUBELET_LABELS,
  WorkloadFixture,
} from '../../../support/agent/identity/workload_fixture.ts';
import { randomText, SHAPES, urlSafe } from '../../../support/lab/planted_secrets.ts';

/** The labels by which the kubelet names a pod. */
const LABELS = [
  'io.kubernetes.pod.name',
  'io.kubernetes.pod.namespace',
  'io.kubernetes.pod.uid',
  'io.kubernetes.container.name',
];
const ENGINE_ENCODINGS = ['plain', 'percent-encoded', 'escapes of Unicode', 'two quoted parts'];
/** Texts to stand around a secret in a name, with the marker. */
const GLUED: Record<string, (secret: string, marker: string) => string> = {
  alone: (secret, marker) => `${marker}.${secret}`,
  'before a word': (secret, marker) => `${secret}.${marker}`,
};

interface Place {
  place: string;
  secret: string;
  marker: string;
  name: string;
}

/**
 * Returns a name for each shape, encoding and position. `spell` writes a secret in an alphabet that the name
 * has.
 */
function names(where: string, encodings: readonly string[], spell = (secret: string) => secret): Place[] {
  return Object.entries(SHAPES).flatMap(([shape, secretOf]) =>
    encodings.flatMap((encoding) =>
      Object.entries(GLUED).map(([position, nameOf]) => {
        const place = `${where}: ${shape}, ${encoding}, ${position}`;
        const secret = spell(secretOf(place));
        const marker = `m${randomText(place, 40).replace(/\W/g, '').slice(0, 6)}x`.toLowerCase();
        return { place, secret, marker, name: nameOf(ENCODINGS[encoding]!(secret), marker) };
      }),
    ),
  );
}

function assertMasked({ place, secret, marker }: Place, facts: unknown): void {
  const text = JSON.stringify(facts);
  assert.ok(text.includes(marker), `${place} is reached: ${text}`);
  assert.equal(new SecretFinder([{ place, secret }]).placesIn(text).size, 0, `${place}: ${text}`);
}

describe('secrets planted in names', () => {
  let fixture: WorkloadFixture;
  beforeEach(() => {
    fixture = new WorkloadFixture();
  });
  afterEach(() => fixture.close());

  for (const where of ['name', 'image', ...LABELS]) {
    it(`are masked in Docker's ${where}`, async () => {
      await fixture.docker.start();
      // Docker refuses a slash in a container's name, and has none but for the name of a link.
      const spell = where === 'name' ? urlSafe : undefined;
      const places = names(`docker ${where}`, ENGINE_ENCODINGS, spell);
      for (const [index, each] of places.entries()) {
        const id = index.toString(16).padStart(64, '0');
        const labels = LABELS.includes(where) ? { ...KUBELET_LABELS, [where]: each.name } : {};
        const named = where === 'name' || where === 'image' ? { [where]: each.name } : {};
        fixture.docker.containers.set(id, { id, name: 'app', labels, ...named });
      }
      fixture.watchDocker();
      for (const [index, each] of places.entries()) {
        const ref = fixture.begin(DOCKER_PATH.replace(A, index.toString(16).padStart(64, '0')));
        await fixture.settled(ref);
        assertMasked(each, fixture.facts(ref));
      }
      assert.equal(places.length, 32);
    });
  }

  for (const where of ['name', 'image', 'pod', 'namespace'] as const) {
    it(`are masked in the ${where} that a CRI runtime gives`, async () => {
      await fixture.cri.start();
      const places = names(`cri ${where}`, ENGINE_ENCODINGS);
      for (const [index, each] of places.entries()) {
        const id = index.toString(16).padStart(64, '0');
        const sandbox = { id: 'c3'.repeat(32), uid: KUBELET_LABELS['io.kubernetes.pod.uid'] };
        const pod = { name: 'web-0', namespace: 'shop' };
        if (where === 'pod') pod.name = each.name;
        if (where === 'namespace') pod.namespace = each.name;
        fixture.cri.containers.set(id, {
          id,
          sandbox: { ...sandbox, ...pod },
          name: where === 'name' ? each.name : 'app',
          image: where === 'image' ? each.name : 'img:1',
          labels: {
            ...KUBELET_LABELS,
            'io.kubernetes.pod.name': pod.name,
            'io.kubernetes.pod.namespace': pod.namespace,
            ...(where === 'name' && { 'io.kubernetes.container.name': each.name }),
          },
        });
      }
      fixture.watchCri();
      for (const [index, each] of places.entries()) {
        const id = index.toString(16).padStart(64, '0');
        const ref = fixture.begin(`/kubepods.slice/cri-containerd-${id}.scope`);
        await fixture.settled(ref);
        assertMasked(each, fixture.facts(ref));
      }
    });
  }

  it('are masked in the names of units and slices', () => {
    fixture.watch();
    const places = [
      ...names('unit', ['plain'], urlSafe),
      // systemd writes `\x2b` for a plus; a slash cannot be in a unit's name.
      ...names('unit, escaped', ['plain'], (secret) => secret.replaceAll('/', '_')),
    ];
    for (const each of places) {
      const name = each.name.replaceAll('+', '\\x2b').replaceAll('=', '\\x3d');
      for (const path of [`/system.slice/${name}.service`, `/${name}.slice/a.service`, `/${name}.slice`])
        assertMasked(each, fixture.facts(fixture.begin(path)).systemd);
    }
  });

  it('are masked in the names of users', () => {
    for (const each of names('user', ['plain', 'percent-encoded']))
      assertMasked(each, [...parsePasswd(`${each.name}:x:1000:1000::/:/bin/sh\n`)]);
  });
});
