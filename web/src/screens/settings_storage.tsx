/** Shows what an acknowledgement is worth in the store of the collector. */
import type { Storage, StoreReader } from '../../../collector/contract/storage.ts';
import { useResource } from '../api/resource.ts';
import { plural } from '../format.ts';
import { FactList, Panel } from '../parts/panel.tsx';
import { ResourceView } from '../parts/states.tsx';

export function StorageFacts() {
  const answer = useResource<Storage>('/storage', false);
  return (
    <Panel
      title="Storage"
      note="Agents delete a batch when the collector acknowledges it. This says how safe it is then."
    >
      <ResourceView resource={answer}>
        {({ kind, copies, survives_loss_of_machine, text, problem, clock, reader }) => (
          <>
            {problem && <p role="alert">{problem}</p>}
            {clock && <p role="alert">{clock}</p>}
            <FactList
              facts={[
                ['Store', kind === 'postgresql' ? 'PostgreSQL' : 'Embedded'],
                ['Machines with a copy', String(copies)],
                ['Survives the loss of a machine', survives_loss_of_machine ? 'Yes' : 'No'],
              ]}
            />
            <p>{text}</p>
            {reader && <StandbyFacts reader={reader} />}
          </>
        )}
      </ResourceView>
    </Panel>
  );
}

/** Shows the standbys that answer questions, and how often the primary had to. */
function StandbyFacts({ reader }: { reader: StoreReader }) {
  const { max_lag_seconds: limit, standbys, answered, answered_by_primary: byPrimary } = reader;
  const reasons = Object.entries(byPrimary).filter(([, count]) => count > 0);
  return (
    <>
      {standbys.map(({ place, text }) => (
        <p key={place}>{text}</p>
      ))}
      <FactList
        facts={[
          ['Data of a standby may be older by', plural(limit, 'second')],
          ['Questions that standbys answered', String(answered)],
          [
            'Questions that the primary answered for them',
            reasons.length === 0 ? '0' : reasons.map(([reason, count]) => `${count} (${reason})`).join(', '),
          ],
        ]}
      />
    </>
  );
}
