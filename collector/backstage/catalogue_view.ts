/** Makes owners of a stored copy of the catalogue, and describes it for people. Pure. */
import type { CatalogueState, StoredEntities } from '../admin/catalogue_rows.ts';
import type { OwnerCatalogue } from '../contract/owner.ts';
import { type CatalogueOwners, catalogueOwners } from '../insight/catalogue_owners.ts';
import { toTimestamp } from '../store/time.ts';

const MAX_AMBIGUOUS_SHOWN = 20;
const MAX_ENTITIES_SHOWN = 10;

export interface CatalogueView {
  found: CatalogueOwners;
  entities: number;
}

export const NO_CATALOGUE: CatalogueView = { found: catalogueOwners([]), entities: 0 };

export function catalogueView(entities: StoredEntities): CatalogueView {
  return { found: catalogueOwners(entities), entities: entities.length };
}

/** Describes the catalogue at `url`, with a state that was stored for it. */
export function servedCatalogue(
  url: string,
  state: CatalogueState | null,
  { found, entities }: CatalogueView,
): OwnerCatalogue {
  const { counts, readMs, failedMs } = state ?? { counts: null, readMs: null, failedMs: null };
  return {
    url,
    read: timeText(readMs),
    entities,
    rules: found.rules,
    without_owner: counts?.without_owner ?? 0,
    without_rule: counts?.without_rule ?? 0,
    unreadable: counts?.unreadable ?? 0,
    left_out: counts?.left_out ?? 0,
    rules_invalid: counts?.rules_invalid ?? 0,
    invalid: counts?.invalid ?? [],
    rules_ambiguous: found.ambiguous.length,
    ambiguous: found.ambiguous.slice(0, MAX_AMBIGUOUS_SHOWN).map(({ rule, owners, entities: named }) => ({
      rule,
      owners: owners.slice(0, MAX_ENTITIES_SHOWN),
      entities: named.slice(0, MAX_ENTITIES_SHOWN),
    })),
    failures: state?.failures ?? 0,
    failed: timeText(failedMs),
    error: state?.error ?? null,
  };
}

function timeText(ms: number | null): string | null {
  return ms === null ? null : toTimestamp(ms * 1000);
}
