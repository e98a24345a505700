/** Tests how the lab reads the reports of its long-running services. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, test } from 'node:test';
import type { Lab, LabProcess } from '../../../lab/lab.ts';
import type { Programs } from '../../../lab/programs.ts';
import { startWebApp } from '../../../lab/services.ts';

const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill();
});

/** Returns a lab in which every program prints these lines and then runs until it is stopped. */
function labThatPrints(lines: string): Lab {
  const start = (): LabProcess => {
    const child = spawn('sh', ['-c', `printf '${lines}'; exec sleep 60`]);
    children.push(child);
    const exited = once(child, 'exit').then(([status, signal]) => ({ status, signal }));
    return {
      child,
      pid: child.pid!,
      exited,
      async stop() {
        child.kill();
        await exited;
      },
    } as unknown as LabProcess;
  };
  return { spawn: start } as unknown as Lab;
}
const programs = { node: process.execPath } as Programs;

test('a service that prints something else before its first report does not start', async () => {
  const lab = labThatPrints('a stray line\\n');
  await assert.rejects(startWebApp(lab, programs), /web-app printed "a stray line"/);
});

test('a stray line after the start is an error when the service is stopped: its reports are incomplete', async () => {
  const lab = labThatPrints('{"listening":80}\\na stray line\\n{"port":1,"method":"GET","target":"/"}\\n');
  const service = await startWebApp(lab, programs);
  assert.equal(service.listening, 80);
  while (service.reported.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(service.stop(), /web-app printed "a stray line"/);
});
