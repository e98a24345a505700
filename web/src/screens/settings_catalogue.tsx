/** The catalogue of Backstage that names owners: its age, its last error and its defects. */
import type { ComponentChildren } from 'preact';
import type { OwnerCatalogue } from '../../../collector/contract/owner.ts';
import { count } from '../format.ts';
import { Tag } from '../parts/badge.tsx';
import { FactList } from '../parts/panel.tsx';
import { RelativeTime } from '../time.tsx';

/** Shows what was read of Backstage, and each of its defects. */
export function Catalogue({ catalogue }: { catalogue: OwnerCatalogue }) {
  const { url, read, rules, entities, failures, failed, error, invalid, ambiguous } = catalogue;
  const numbers: [string, number][] = [
    ['Entities without an owner', catalogue.without_owner],
    ['Entities without an annotation that names workloads', catalogue.without_rule],
    ['Entities that cannot be read', catalogue.unreadable],
    ['Entities left out, beyond the limit', catalogue.left_out],
    ['Rules that cannot be used', catalogue.rules_invalid],
    ['Rules with more than one owner, which name none', catalogue.rules_ambiguous],
  ];
  return (
    <section aria-label="Catalogue">
      <h3>Catalogue of Backstage</h3>
      <p class="quiet">It is asked after all rules above.</p>
      <FactList
        facts={[
          ['Address', url],
          ['Read', read === null ? 'not yet' : <RelativeTime at={read} />],
          ['Names owners', `${count(rules)} rules of ${count(entities)} entities`],
          ...(failures === 0
            ? []
            : [
                [
                  'Cannot be read',
                  <span>
                    <Tag tone="medium">{`${count(failures)} failed`}</Tag> {error},{' '}
                    <RelativeTime at={failed} />
                  </span>,
                ] as [string, ComponentChildren],
              ]),
          ...numbers.flatMap(([label, number]): [string, string][] =>
            number === 0 ? [] : [[label, count(number)]],
          ),
          ...invalid.map(({ entity, rule }): [string, string] => ['Cannot be used', `${rule} (${entity})`]),
          ...ambiguous.map((each): [string, string] => [
            'More than one owner',
            `${each.rule}: ${each.owners.join(', ')} (${each.entities.join(', ')})`,
          ]),
        ]}
      />
    </section>
  );
}
