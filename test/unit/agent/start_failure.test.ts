/** Tests that an agent which cannot start leaves nothing open behind. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { getPriority, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { pino } from 'pino';
import { agentSettings } from '../../../agent/config.ts';
import { openHostIdentity, startAgent } from '../../../agent/main.ts';
import { OperatorError } from '../../../common/operator_error.ts';

const directory = mkdtempSync(join(tmpdir(), 'imdswatch-start-'));
after(() => rmSync(directory, { recursive: true }));

/** Returns the sockets of this process, among them those of netlink. */
function openSockets(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith('socket:') ? [target] : [];
    } catch {
      return []; // the descriptor of the directory itself is closed by now
    }
  });
}

it('closes attribution and host identity where the capture cannot be opened', async () => {
  const settings = agentSettings.parse({
    collector_url: 'ws://127.0.0.1:9',
    agent_token: 'imdswatch-agent-0123456789',
    attribution: 'proc',
    interface: 'no-such-if0',
    host_id: 'i-1',
    identity_from_imds: false,
    spool_dir: directory,
  });
  const log = pino({ level: 'silent' });
  const identity = openHostIdentity(settings, log);
  let stops = 0;
  const { stop } = identity;
  identity.stop = () => {
    stops++;
    stop.call(identity);
  };
  const priority = getPriority();
  const before = openSockets();
  try {
    await assert.rejects(startAgent(settings, log, identity), OperatorError);
  } finally {
    setPriority(priority);
  }
  assert.deepEqual(openSockets(), before);
  assert.equal(stops, 1);
});
