/** Checks which host this is taken for, and what is known of it. It asks nobody: what the agent has learnt is in `host.json`. */

import { isSameMachine, readHostCache } from '../../agent/host/host_cache.ts';
import { hostFacts, idOf, readMachine } from '../../agent/host/host_facts.ts';
import { type AgentSide, AS_ROOT, type Check, isDenied, ok, skip, warn } from './check.ts';

const FROM = {
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
  examine({ settings }) {
    const machine = readMachine();
    const now = idOf(settings, machine);
    const { name } = hostFacts(settings, machine);
    let kept: ReturnType<typeof readHostCache>['host'];
    try {
      kept = readHostCache(settings.spool_dir).host;
    } catch (error) {
      if (!isDenied(error)) throw error;
      return [
        skip(`what the agent keeps of the host is in ${settings.spool_dir}, which needs root`, AS_ROOT),
      ];
    }
    if (kept !== null && !isSameMachine(kept.machine, machine)) {
      return [
        warn(
          `${settings.spool_dir} is of another machine, ${kept.id}: an image was copied`,
          'The agent notices at its start and begins anew; make images without that directory.',
        ),
      ];
    }
    const stays = kept !== null && now.source !== 'given' && now.source !== 'dmi';
    const { id, source } = stays ? kept! : now;
    const who = `${id} (${name}), by ${FROM[source]}`;
    const learnt = kept?.learnt ?? null;
    if (learnt === null) {
      const why = kept?.failure == null ? '' : ` (${kept.failure})`;
      return [
        settings.identity_from_imds && kept !== null
          ? warn(
              `${who}; the metadata service has said nothing of this host${why}`,
              'Set host_account, host_region and host_tags, or identity_from_imds: false where there is no such service. In a pod the agent needs hostNetwork, or a hop limit of 2.',
            )
          : ok(
              `${who}; account, region and tags ${settings.identity_from_imds ? 'not learnt yet' : 'as configured'}`,
            ),
      ];
    }
    const cloud = [learnt.account, learnt.zone ?? learnt.region, learnt.type].filter((each) => each !== null);
    const tags =
      learnt.tags === null ? 'tags not in the metadata' : `${Object.keys(learnt.tags).length} tags`;
    const what = `${who}; ${cloud.join(', ')}, ${tags}`;
    if (learnt.instance_id === id || source === 'given') return [ok(what)];
    return [
      warn(
        `${what}; the instance is ${learnt.instance_id}`,
        `The cloud's own counts are held against hosts by instance id: set host_id to it while the spool is empty.`,
      ),
    ];
  },
};
