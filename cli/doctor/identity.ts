/**
 * Checks which host id the agent uses, and what it knows about the host. The check sends no request: it reads
 * `host.json`, where the agent stores what it has learnt.
 */

import { isSameMachine, readHostCache } from '../../agent/host/host_cache.ts';
import { hostFacts, idOf, readMachine } from '../../agent/host/host_facts.ts';
import { type AgentSide, AS_ROOT, type Check, isDenied, ok, skip, warn } from './check.ts';

const SOURCE_NAMES = {
  given: 'host_id',
  dmi: "DMI's asset tag",
  imds: 'the metadata service',
  node_name: 'NODE_NAME',
  machine_id: 'the machine id',
  host_name: 'the host name',
};

export const identity: Check<AgentSide> = {
  name: 'identity',
  applies: () => true,
  run({ settings }) {
    const machine = readMachine();
    const now = idOf(settings, machine);
    const { name } = hostFacts(settings, machine);
    let kept: ReturnType<typeof readHostCache>['host'];
    try {
      kept = readHostCache(settings.spool_dir).host;
    } catch (error) {
      if (!isDenied(error)) throw error;
      return [
        skip(`reading what the agent knows about this host (${settings.spool_dir}) needs root`, AS_ROOT),
      ];
    }
    if (kept !== null && !isSameMachine(kept.machine, machine)) {
      return [
        warn(
          `${settings.spool_dir} belongs to another machine, ${kept.id}: an image was copied`,
          'The agent notices this at its start and begins with an empty spool. Remove that directory before you make an image.',
        ),
      ];
    }
    const stays = kept !== null && now.source !== 'given' && now.source !== 'dmi';
    const { id, source } = stays ? kept! : now;
    const subject = `${id} (${name}), by ${SOURCE_NAMES[source]}`;
    const learnt = kept?.learnt ?? null;
    if (learnt === null) {
      const why = kept?.failure == null ? '' : ` (${kept.failure})`;
      return [
        settings.identity_from_imds && kept !== null
          ? warn(
              `${subject}; the metadata service gave no facts about this host${why}`,
              'Set host_account, host_region and host_tags. Where there is no metadata service, set identity_from_imds: false. In a pod the agent needs hostNetwork, or a hop limit of 2.',
            )
          : ok(
              `${subject}; account, region and tags ${settings.identity_from_imds ? 'are not known yet' : 'are as configured'}`,
            ),
      ];
    }
    const cloud = [learnt.account, learnt.zone ?? learnt.region, learnt.type].filter((part) => part !== null);
    const tags =
      learnt.tags === null ? 'tags are not in the metadata' : `${Object.keys(learnt.tags).length} tags`;
    const text = `${subject}; ${cloud.join(', ')}, ${tags}`;
    if (learnt.instance_id === id || source === 'given') return [ok(text)];
    return [
      warn(
        `${text}; the instance is ${learnt.instance_id}`,
        `The cloud's counts are compared with hosts by instance id. Set host_id to the instance id while the spool is empty.`,
      ),
    ];
  },
};
