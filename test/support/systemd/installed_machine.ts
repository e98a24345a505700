/** A Debian machine in a lab on which the product's package is installed. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Offender } from '../../../collector/contract/offender.ts';
import { Lab } from '../../../lab/lab.ts';
import { type DebianMachine, makeDebianMachine } from '../lab/debian_machine.ts';
import type { DebianRelease } from '../lab/debian_tree.ts';

export const AGENT = 'imdswatch-agent.service';
export const COLLECTOR = 'imdswatch-collector.service';
const RECHECK_MS = 100;
const INSTALL_TIMEOUT_MS = 120_000;

export class InstalledMachine {
  readonly lab: Lab;
  readonly machine: DebianMachine;

  private constructor(lab: Lab, machine: DebianMachine) {
    this.lab = lab;
    this.machine = machine;
  }

  /** Not installed yet, and switched off. A string says why there can be none here. */
  static async make(
    packageDirectory: string,
    release: DebianRelease = {},
  ): Promise<InstalledMachine | string> {
    const lab = await Lab.create({ name: 'systemd', ipv6: false });
    try {
      const { engine, notAvailable } = await makeDebianMachine(lab, {
        binds: { [packageDirectory]: '/mnt' },
        release,
      });
      if (notAvailable === null) return new InstalledMachine(lab, engine);
      await lab.close();
      return notAvailable;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  /** Runs a shell command as root in the machine and returns what it printed. Fails when it fails. */
  async sh(command: string, timeoutMs = 30_000): Promise<string> {
    const { status, stdout, stderr } = await this.machine.run(['sh', '-c', command], { timeoutMs });
    assert.equal(status, 0, `${command}: ${stderr}${stdout}`);
    return stdout.trimEnd();
  }

  async dpkg(argument: string, what: string): Promise<string> {
    const target = what.endsWith('.deb') ? join('/mnt', what) : what;
    return await this.sh(
      `DEBIAN_FRONTEND=noninteractive dpkg ${argument} ${target} 2>&1`,
      INSTALL_TIMEOUT_MS,
    );
  }

  /** Value as `systemctl show` prints it. */
  async property(unit: string, name: string): Promise<string> {
    return await this.sh(`systemctl show --property=${name} --value ${unit}`);
  }

  /** One IMDSv1 read of each target by a unit of that name, one after the other. */
  async callFrom(unit: string, targets: readonly string[]): Promise<void> {
    const reads = targets.map((target) => `/opt/fetch /latest/meta-data/${target}`).join(' && ');
    await this.sh(`systemd-run --quiet --wait --unit=${unit} sh -c '${reads}'`);
  }

  /** Returns the IMDSv1 calls in the collector's store, by unit. */
  async callsByUnit(): Promise<Map<string, Offender>> {
    const offenders = JSON.parse(await this.sh('imdswatch offenders --json')) as Offender[];
    return new Map(offenders.map((offender) => [offender.systemd_unit ?? '', offender]));
  }

  async until(what: string, isSo: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
    for (const deadline = Date.now() + timeoutMs; !(await isSo()); await sleep(RECHECK_MS)) {
      if (Date.now() < deadline) continue;
      const said = await this.sh(`journalctl --no-pager -n 30 -u ${AGENT} -u ${COLLECTOR}`);
      assert.fail(`${what}: not within ${timeoutMs} ms. ${said}`);
    }
  }

  async untilStored(unit: string, calls: number): Promise<Offender> {
    let found: Offender | undefined;
    await this.until(`${calls} calls of ${unit} stored`, async () => {
      found = (await this.callsByUnit()).get(unit);
      return (found?.calls_v1 ?? 0) >= calls;
    });
    return found!;
  }

  async close(): Promise<void> {
    await this.lab.close();
  }
}
