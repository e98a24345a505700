/** Data whose order is easily left to chance: names that languages sort otherwise than bytes do, and equal figures. */
import { heardHost } from '../../../../collector/store/packed_heartbeat.ts';
import type { Store } from '../../../../collector/store/store.ts';
import type { HostFacts } from '../../../../protocol/call.ts';
import { makeCall, processFacts } from '../calls.ts';
import { heartbeatOf } from '../insight/findings.ts';
import { call, callerOf, report, stream } from '../store/records.ts';

const HOUR_US = 3_600_000_000;
/** Upper and lower case, accents, punctuation, and characters beyond 16 bits. */
const NAMES = ['Zebra', 'apple', 'Apple', 'äpfel', 'a_b', 'a-b', 'a.b', 'ab', '\u{1f512}', '\ufffd'];
const SCRIPTS = ['/srv/B.py', '/srv/a.py', '/srv/Ä.py', '/srv/a-1.py', '/srv/a_1.py'];
/** Two processes of each script are callers of the same workload. */
const PIDS = [101, 102];

/** Adds one host for each name. All have the same calls at the same times. */
export async function fillTies(store: Store, nowUs: number): Promise<void> {
  const startUs = (Math.floor(nowUs / HOUR_US) - 5) * HOUR_US;
  for (const [at, name] of NAMES.entries()) {
    const host: HostFacts = {
      ...{ id: `i-${name}`, name, 'cloud.account.id': '222233334444', 'cloud.region': 'eu-west-1' },
      ...{ 'cloud.availability_zone': 'eu-west-1a', type: 't3.micro', 'image.id': 'ami-ties' },
      tags: { team: name, 'aws:autoscaling:groupName': `group-${name}` },
    };
    const callers = SCRIPTS.flatMap((script) =>
      PIDS.map((pid) => callerOf(makeCall({ process: processFacts({ script, pid, 'owner.name': name }) }))),
    );
    const next = stream(host, callers);
    await store.write([
      next(
        ...callers.map((_, caller) => call(startUs + HOUR_US, { 'url.path': `/${NAMES[at]}` }, caller)),
        ...callers.map((_, caller) => call(startUs + HOUR_US, { 'url.path': '/Path_%' }, caller)),
        report(host.id, startUs, startUs + HOUR_US, {
          losses: { 'decode.dropped': 1, 'capture.dropped': 1 },
        }),
        report(host.id, startUs + 2 * HOUR_US, nowUs, { kernel_connections: 9 }),
      ),
    ]);
    await store.heartbeats([heardHost(heartbeatOf(host.id, nowUs), nowUs)]);
  }
}
