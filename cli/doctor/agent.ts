/** Checks whether an agent runs, what its last heartbeat says, and what its stages have lost. */
import { lossesOf } from '../../protocol/losses.ts';
import { type AgentSide, AS_ROOT, type Check, type Finding, fail, ok, skip, warn } from './check.ts';
import { spanText } from './quantity.ts';

/** Number of heartbeats that may be missing before the agent is reported as hanging. */
const MISSED_HEARTBEATS = 4;

export const agent: Check<AgentSide> = {
  name: 'agent',
  applies: () => true,
  run({ settings, running }) {
    const { isRunning, pid, state } = running;
    if (isRunning === 'unknown') return [skip(`reading ${settings.spool_dir} needs root`, AS_ROOT)];
    const beat = state?.heartbeat ?? null;
    const ageSeconds = beat === null ? null : Math.max(0, (Date.now() - Date.parse(beat.time)) / 1_000);
    if (!isRunning) {
      const last = ageSeconds === null ? '' : `; the last heartbeat was ${spanText(ageSeconds)} ago`;
      return [
        warn(
          `no agent uses the spool ${settings.spool_dir}${last}`,
          'Start the agent: systemctl enable --now imdswatch-agent.',
        ),
      ];
    }
    const subject = pid === null ? 'an agent runs in another pid namespace' : `an agent runs (pid ${pid})`;
    if (beat === null || ageSeconds === null) return [ok(`${subject}; it has not written its state yet`)];
    const findings: Finding[] = [];
    findings.push(
      ageSeconds > MISSED_HEARTBEATS * settings.heartbeat_seconds
        ? fail(
            `${subject}, and its last heartbeat was ${spanText(ageSeconds)} ago`,
            'The agent hangs, or it cannot write its spool. Read its log (journalctl -u imdswatch-agent), then restart it.',
          )
        : ok(`${subject}, release ${beat.agent_version}; heartbeat ${spanText(ageSeconds)} ago`),
    );
    if (!beat.coverage.live) {
      findings.push(
        fail('the agent does not capture packets now', 'Read its log (journalctl -u imdswatch-agent).'),
      );
    }
    const { method, reason, way = method } = beat.attribution;
    if (way !== 'ebpf') {
      const how = way === 'tracepoint' ? 'eBPF on a tracepoint' : way;
      findings.push(
        warn(
          `the agent finds callers by ${how}${reason === null ? '' : `: ${reason}`}`,
          'See the checks "eBPF" and "capabilities" above.',
        ),
      );
    }
    if (beat.counters['uplink']?.['connected'] !== 1) {
      findings.push(
        warn(
          'the agent is not connected to its collector',
          'See the check "collector". Records are kept in the spool until the agent connects.',
        ),
      );
    }
    const lost = Object.entries(lossesOf(beat.counters)).map(([name, count]) => `${name} ${count}`);
    findings.push(
      lost.length === 0
        ? ok('the agent has lost nothing since it started')
        : warn(
            `losses since the agent started: ${lost.join(', ')}`,
            'docs/operate.md explains each counter. For dropped packets, raise capture_buffer_bytes.',
          ),
    );
    return findings;
  },
};
