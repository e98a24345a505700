/** A /proc of our own: directories as the kernel would show them, for processes that never were. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface FixtureProcess {
  pid: number;
  name: string;
  parentPid?: number;
  startTicks?: number;
  executable?: string;
  args?: string[];
  workingDirectory?: string;
  /** Link targets by descriptor number. */
  descriptors?: Record<number, string>;
  kernelThread?: boolean;
  /** Address of its arguments in memory, which changes with exec(). */
  argumentsStart?: number;
}

export class ProcFixture {
  readonly root = mkdtempSync(join(tmpdir(), 'imdswatch-proc-'));

  constructor() {
    writeFileSync(join(this.root, 'stat'), 'cpu 0 0 0\nbtime 1700000000\n');
    writeFileSync(join(this.root, 'passwd'), 'root:x:0:0::/:/bin/sh\nweb:x:33:33::/:/bin/sh\n');
    writeFileSync(join(this.root, 'loadavg'), '0.00 0.00 0.00 1/2 500\n');
  }

  put(each: FixtureProcess): void {
    const at = join(this.root, String(each.pid));
    rmSync(at, { recursive: true, force: true });
    mkdirSync(join(at, 'fd'), { recursive: true });
    const fields = new Array<number | string>(52).fill(0);
    fields[2] = 'S';
    fields[3] = each.parentPid ?? 0;
    fields[8] = each.kernelThread ? 0x200000 : 0x400000;
    fields[21] = each.startTicks ?? 100;
    fields[47] = each.argumentsStart ?? 140_000_000;
    writeFileSync(join(at, 'stat'), `${each.pid} (${each.name}) ${fields.slice(2).join(' ')}\n`);
    writeFileSync(join(at, 'cmdline'), (each.args ?? []).map((arg) => `${arg}\0`).join(''));
    if (each.executable) symlinkSync(each.executable, join(at, 'exe'));
    if (each.workingDirectory) symlinkSync(each.workingDirectory, join(at, 'cwd'));
    for (const [number, target] of Object.entries(each.descriptors ?? {})) {
      symlinkSync(target, join(at, 'fd', number));
    }
  }

  end(pid: number): void {
    rmSync(join(this.root, String(pid)), { recursive: true });
  }

  remove(): void {
    rmSync(this.root, { recursive: true });
  }
}
