/**
 * `npm run bench:fleet` measures three collectors behind HAProxy on loopback, which share a PostgreSQL database, with
 * thousands of simulated agents: what an agent costs, and how agents come back when a collector or HAProxy ends.
 *
 *   --agents N       default: 5,000. HAProxy takes two descriptors for each, agents and collectors one
 *   --rate N         calls without a token a second, of all agents; default: 500
 *   --standbys N     quorum standbys of the database; default: 0
 *   --minutes N      time of the steady load; default: 10
 *   --tls            TLS from agents to HAProxy, and from HAProxy to collectors
 *   --quick          few agents, and a few seconds of each
 *
 * Each agent sends a coverage report and a roll-up a minute, and heartbeats of 5 kB as its collector asks for them.
 * Prints progress on stderr, a table and one JSON line on stdout. Exit codes as those of imdswatch.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { exitWith } from '../../cli/exit.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { VERSION } from '../../common/version.ts';
import { NO_HAPROXY } from '../../test/support/balancer.ts';
import { measureFleet } from './measure.ts';
import { fleetOptions } from './options.ts';
import { tableOf } from './results.ts';

async function main(): Promise<number> {
  const options = fleetOptions(process.argv.slice(2));
  if (NO_HAPROXY !== false) throw new OperatorError(1, `${NO_HAPROXY}: install the package haproxy.`);
  const loadBefore = loadavg()[0]!;
  const beganAt = new Date();
  const dir = mkdtempSync(join(tmpdir(), 'imdswatch-bench-'));
  try {
    const result = await measureFleet(options, dir, (text) => process.stderr.write(`${text}\n`));
    process.stdout.write(`${tableOf(result)}\n`);
    const machine = {
      cores: availableParallelism(),
      kernel: release(),
      node: process.version,
      load_average: [loadBefore, loadavg()[0]!],
    };
    const run = { bench: 'fleet', version: VERSION, time: beganAt.toISOString(), quick: options.quick };
    process.stdout.write(`${JSON.stringify({ ...run, machine, result })}\n`);
    return 0;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

await exitWith(main);
