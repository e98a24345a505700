/** Shows what an acknowledgement is worth in the store of the collector. */
import type { Storage } from '../../../collector/contract/storage.ts';
import { useResource } from '../api/resource.ts';
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
        {({ kind, copies, survives_loss_of_machine, text }) => (
          <>
            <FactList
              facts={[
                ['Store', kind === 'postgresql' ? 'PostgreSQL' : 'Embedded'],
                ['Machines with a copy', String(copies)],
                ['Survives the loss of a machine', survives_loss_of_machine ? 'Yes' : 'No'],
              ]}
            />
            <p>{text}</p>
          </>
        )}
      </ResourceView>
    </Panel>
  );
}
