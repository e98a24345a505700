/** The packages that other tests look at, built a second time by somebody else elsewhere: the same to the last bit. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ANOTHER, sumsInClone } from '../../../packaging/reproducible.ts';
import { readSources } from '../../../packaging/sources.ts';
import { cannotPackage, keptPackages, NATIVE, ROOT } from '../../support/packaging/kept.ts';

it('a second build has the same hashes', { skip: cannotPackage(NATIVE) ?? false }, async (t) => {
  const { changed, commit } = await readSources(ROOT);
  if (changed) return t.skip('files were changed since the last commit, which is what a clone would build');
  const { sha256sums } = await keptPackages(NATIVE);
  const options = { root: ROOT, targets: [NATIVE], formats: ['deb' as const], revision: 1 };
  // The .rpm has the same files: "npm run package -- --check-reproducible" compares both.
  const ofDeb = sha256sums.split('\n').filter((line) => /\.deb(\.cdx\.json)?$/.test(line));
  assert.ok(ofDeb.length > 0);
  assert.deepEqual((await sumsInClone(options, commit, ANOTHER)).trimEnd().split('\n'), ofDeb);
});
