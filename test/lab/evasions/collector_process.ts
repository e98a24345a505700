/** The collector of a lab, as a process on the lab's host. */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Lab } from '../../../lab/lab.ts';

export const NODE = [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  join(import.meta.dirname, '../../../cli/main.ts'),
];
export const TOKEN = 'an-enrolment-token-of-the-evasions';

/** Starts it with its data in the lab's home. Resolves with the address that agents connect to. */
export async function startCollector(lab: Lab): Promise<string> {
  const argv = [...NODE, 'collector', '--listen', '127.0.0.1:0', '--data-dir', join(lab.home, 'data')];
  const collector = lab.spawn(argv, { env: { IMDSWATCH_AGENT_TOKEN: TOKEN } });
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    createInterface({ input: collector.child.stderr! }).on('line', (line) => {
      said.push(line);
      if (said.length > 100) said.shift();
      const url = /"listen":"(ws:\/\/127\.0\.0\.1:\d+)"/.exec(line)?.[1];
      if (url !== undefined) resolve(url);
    });
    collector.child.stdout?.resume();
    void collector.exited.then(() => reject(new Error(`the collector did not start: ${said.join('\n')}`)));
  });
}
