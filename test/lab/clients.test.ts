/** The clients do what lab/clients.ts says, by the metadata service's own log: else nothing built on it is proof. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { labClients } from '../../lab/clients.ts';
import { PATHS } from '../../lab/expected_call.ts';
import { Lab } from '../../lab/lab.ts';
import { Ledger } from '../../lab/ledger.ts';
import { buildOneShot, findPrograms, installSdks, type Programs } from '../../lab/programs.ts';
import { startLegacyPoller, startModernService, startWebApp } from '../../lab/services.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces';

describe('clients of the lab', () => {
  let lab: Lab;
  let programs: Programs;
  before(async () => {
    if (skip) return;
    programs = await findPrograms();
    await installSdks((line) => console.log(line));
    lab = await Lab.create({ name: 'clitest' });
  });
  after(() => lab?.close());

  it('make the calls that they are said to make, beside services that call all the time', {
    skip,
  }, async () => {
    const ledger = new Ledger(lab);
    const services = [
      ledger.addService(await startLegacyPoller(lab, programs, 0.1)),
      ledger.addService(await startModernService(lab, programs, 0.1)),
    ];
    const clients = labClients(programs, await buildOneShot(programs, lab.home));
    for (const client of clients) await ledger.runClient(client);
    for (const service of services) await service.stop();
    assert.deepEqual(await ledger.surprises(), []);
    const truths = await ledger.truths();
    assert.deepEqual(
      truths.filter(({ owner }) => owner === null),
      [],
    );
    const versionsOf = (name: string) =>
      new Set(truths.filter(({ owner }) => owner?.name === name).map(({ version }) => version));
    assert.deepEqual(versionsOf('legacy-poller'), new Set([1]));
    assert.deepEqual(versionsOf('modern-service'), new Set([2]));
  });

  it('include a web app that fetches credentials for any client', { skip }, async () => {
    const ledger = new Ledger(lab);
    const app = ledger.addService(await startWebApp(lab, programs));
    const wanted = `http://169.254.169.254${PATHS.credentials}`;
    const { stdout } = await lab.run([
      'curl',
      '-s',
      '-G',
      '--data-urlencode',
      `url=${wanted}`,
      `http://127.0.0.1:${app.listening}/fetch`,
    ]);
    assert.equal(JSON.parse(stdout).Code, 'Success');
    await app.stop();
    const theft = (await ledger.truths()).filter(({ owner }) => owner?.name === 'web-app');
    assert.deepEqual(
      theft.map(({ version, status, category }) => [version, status, category]),
      [[1, 200, 'credentials']],
    );
  });
});
