import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Truth } from '../../lab/ledger.ts';
import { compareOffenders, type ListedOffender, tallyByIdentity } from '../../lab/tally.ts';

const truth = (change: Partial<Truth>): Truth => ({
  seq: 1,
  time: '2026-01-01T00:00:00.000Z',
  connection: 1,
  clientAddress: '10.1.2.1',
  clientPort: 40000,
  serverAddress: '169.254.169.254',
  method: 'GET',
  target: '/',
  version: 1,
  status: 200,
  ttlHeaderSent: false,
  owner: { name: 'curl', pid: 1, caller: 'itself', executable: '/usr/bin/curl', script: null },
  category: 'metadata',
  ...change,
});
const python = {
  name: 'app',
  pid: 2,
  caller: 'itself' as const,
  executable: '/usr/bin/python3',
  script: '/app.py',
};
const TRUTHS = [
  truth({}),
  truth({ version: 2 }),
  truth({ owner: python, category: 'credentials' }),
  truth({ owner: python, category: 'credentials', status: 401 }),
];
const LISTED: ListedOffender[] = [
  { executable: '/usr/bin/curl', script: null, v1: 1, v2: 1, credentialsOverV1: 0 },
  { executable: '/usr/bin/python3', script: '/app.py', v1: 2, v2: 0, credentialsOverV1: 1 },
];

describe('the counts of the lab', () => {
  it('counts by program and script', () => {
    assert.deepEqual(tallyByIdentity(TRUTHS), [
      { executable: '/usr/bin/curl', script: null, v1: 1, v2: 1, credentialsOverV1: 0 },
      { executable: '/usr/bin/python3', script: '/app.py', v1: 2, v2: 0, credentialsOverV1: 1 },
    ]);
  });

  it('accepts a list that is exactly that, in any order', () => {
    assert.deepEqual(compareOffenders(TRUTHS, LISTED), []);
    assert.deepEqual(compareOffenders(TRUTHS, LISTED.toReversed()), []);
  });

  it('adds up the rows of one program that ran in several images or units', () => {
    const [curl, app] = LISTED as [ListedOffender, ListedOffender];
    const parts = [
      { ...app, v1: 1, credentialsOverV1: 0 },
      { ...app, v1: 1, credentialsOverV1: 1 },
    ];
    assert.deepEqual(compareOffenders(TRUTHS, [curl, ...parts]), []);
    assert.equal(compareOffenders(TRUTHS, [curl, parts[0]!]).length, 2);
  });

  it('names every difference', () => {
    const [curl, app] = LISTED as [ListedOffender, ListedOffender];
    const differences = (...listed: ListedOffender[]) => compareOffenders(TRUTHS, listed).length;
    assert.equal(differences(curl), 1);
    assert.equal(differences(curl, app, app), 2);
    assert.equal(differences(curl, { ...app, v1: 1 }), 1);
    assert.equal(differences(curl, { ...app, v2: 1 }), 1);
    assert.equal(differences({ ...curl, credentialsOverV1: 1 }, app), 1);
    assert.equal(differences(curl, { ...app, script: null }), 2);
    assert.equal(differences(curl, app, { ...curl, executable: null }), 1);
  });

  it('does not require that a caller of IMDSv2 only is listed, but checks it if it is', () => {
    const modern = [truth({ version: 2 })];
    assert.deepEqual(compareOffenders(modern, []), []);
    assert.equal(compareOffenders(modern, [{ ...LISTED[0]!, v1: 0, v2: 2 }]).length, 1);
  });

  it('fails if the lab does not know a caller', () => {
    assert.equal(compareOffenders([truth({ owner: null })], []).length, 1);
  });
});
