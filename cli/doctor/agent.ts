/** Checks whether an agent runs, what its last heartbeat says, and what its stages have lost. */
import { lossesOf } from '../../protocol/losses.ts';
import { type AgentSide, AS_ROOT, type Check, type Finding, fail, ok, skip, warn } from './check.ts';
import { spanText } from './quantity.ts';

/** Heartbeats that may be missing before the last one is old. */
const MISSED_HEARTBEATS = 4;

export const agent: Check<AgentSide> = {
  name: 'agent',
  applies: () => true,
  examine({ settings, running }) {
    const { isRunning, pid, state } = running;
    if (isRunning === 'unknown') return [skip(`${settings.spool_dir} needs root`, AS_ROOT)];
    const beat = state?.heartbeat ?? null;
    const ageSeconds = beat === null ? null : Math.max(0, (Date.now() - Date.parse(beat.time)) / 1_000);
    if (!isRunning) {
      const last = ageSeconds === null ? '' : `; the last heartbeat was ${spanText(ageSeconds)} ago`;
      return [
        warn(
          `no agent runs with ${settings.spool_dir}${last}`,
          'Start it: systemctl enable --now imdswatch-agent.',
        ),
      ];
    }
    const who = pid === null ? 'an agent runs, in a pid namespace of its own' : `an agent runs (pid ${pid})`;
    if (beat === null || ageSeconds === null) return [ok(`${who}; it has not told its state yet`)];
    const found: Finding[] = [];
    found.push(
      ageSeconds > MISSED_HEARTBEATS * settings.heartbeat_seconds
        ? fail(
            `${who}, and its last heartbeat was ${spanText(ageSeconds)} ago`,
            'It hangs, or cannot write its spool: see its log (journalctl -u imdswatch-agent), and restart it.',
          )
        : ok(`${who}, release ${beat.agent_version}; heartbeat ${spanText(ageSeconds)} ago`),
    );
    if (!beat.coverage.live) {
      found.push(fail('its capture is not live', 'See its log (journalctl -u imdswatch-agent).'));
    }
    if (beat.attribution.method !== 'ebpf') {
      found.push(
        warn(
          `it finds callers by ${beat.attribution.method}${beat.attribution.reason === null ? '' : `: ${beat.attribution.reason}`}`,
          'See "eBPF" and "capabilities".',
        ),
      );
    }
    if (beat.counters['uplink']?.['connected'] !== 1) {
      found.push(warn('it is not connected to its collector', 'See "collector". Records wait in the spool.'));
    }
    const lost = Object.entries(lossesOf(beat.counters)).map(([name, count]) => `${name} ${count}`);
    found.push(
      lost.length === 0
        ? ok('nothing was lost since it started')
        : warn(
            `since it started it has counted: ${lost.join(', ')}`,
            'The documentation says of each counter what it stands for. Dropped packets: raise capture_buffer_bytes.',
          ),
    );
    return found;
  },
};
