/** Keeps the cloud's inventory: instances with their groups, also those that are gone, and what they launch from. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { CloudInventory, CloudMember } from '../store.ts';
import { Profiles } from './profiles.ts';

/** Schema step 9. A row of `cloud_members` is there for each instance, whether it has an agent or not. */
export const CLOUD_INVENTORY_STEP = `
  ALTER TABLE cloud_instances ADD COLUMN http_endpoint TEXT;

  CREATE TABLE cloud_members (
    host_id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    state TEXT,
    launched_us INTEGER,
    terminated_us INTEGER,
    image_id TEXT,
    scaling_group TEXT,
    template_id TEXT,
    template_version INTEGER,
    is_spot INTEGER,
    managed_by TEXT,
    tags TEXT,
    supplied_us INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE cloud_resources (
    kind TEXT NOT NULL,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    id TEXT NOT NULL,
    facts TEXT NOT NULL,
    supplied_us INTEGER NOT NULL,
    PRIMARY KEY (kind, account, region, id)
  ) STRICT, WITHOUT ROWID;
`;

/** Columns of `cloud_members` that keep their value where nothing is known of them now. */
const KEPT = [
  'state',
  'launched_us',
  'terminated_us',
  'image_id',
  'scaling_group',
  'template_id',
  'template_version',
  'is_spot',
  'managed_by',
  'tags',
];

/** Returns the values of a row of `cloud_members` in the order of its columns, in either store. */
export function memberValues(member: CloudMember): (string | number | null)[] {
  return [
    member.hostId,
    member.account,
    member.region,
    member.state,
    member.launchedUs,
    member.terminatedUs,
    member.imageId,
    member.scalingGroup,
    member.templateId,
    member.templateVersion,
    member.isSpot === null ? null : Number(member.isSpot),
    member.managedBy,
    member.tags === null ? null : JSON.stringify(member.tags),
    member.suppliedUs,
  ];
}

export class CloudInventoryWriter {
  readonly #setMember: StatementSync;
  readonly #setResource: StatementSync;
  readonly #profiles: Profiles;

  constructor(database: DatabaseSync) {
    this.#profiles = new Profiles(database);
    const kept = KEPT.map((column) => `${column} = coalesce(excluded.${column}, ${column})`).join(', ');
    this.#setMember = database.prepare(
      `INSERT INTO cloud_members (host_id, account, region, ${KEPT.join(', ')}, supplied_us)
       VALUES (${Array(14).fill('?').join(', ')})
       ON CONFLICT (host_id) DO UPDATE SET account = excluded.account, region = excluded.region, ${kept},
         supplied_us = excluded.supplied_us`,
    );
    this.#setResource = database.prepare('INSERT OR REPLACE INTO cloud_resources VALUES (?, ?, ?, ?, ?, ?)');
  }

  write({ instances, resources }: CloudInventory): void {
    for (const member of instances) this.#setMember.run(...memberValues(member));
    this.#profiles.setCloudProfiles(instances.map(({ hostId }) => hostId));
    for (const { facts, suppliedUs } of resources) {
      const { kind, account, region, id } = facts;
      this.#setResource.run(kind, account, region, id, JSON.stringify(facts), suppliedUs);
    }
  }
}

export class CloudInventoryReader {
  readonly #members: StatementSync;
  readonly #resources: StatementSync;

  constructor(database: DatabaseSync) {
    this.#members = database.prepare(
      `SELECT host_id AS hostId, account, region, state, launched_us AS launchedUs, terminated_us AS terminatedUs,
         image_id AS imageId, scaling_group AS scalingGroup, template_id AS templateId,
         template_version AS templateVersion, is_spot AS isSpot, managed_by AS managedBy, tags,
         supplied_us AS suppliedUs
       FROM cloud_members ORDER BY host_id`,
    );
    this.#resources = database.prepare(
      'SELECT facts, supplied_us AS suppliedUs FROM cloud_resources ORDER BY kind, account, region, id',
    );
  }

  read(): CloudInventory {
    type Row = Omit<CloudMember, 'isSpot' | 'tags'> & { isSpot: number | null; tags: string | null };
    return {
      instances: (this.#members.all() as unknown as Row[]).map((row) => ({
        ...row,
        isSpot: row.isSpot === null ? null : row.isSpot === 1,
        tags: row.tags === null ? null : JSON.parse(row.tags),
      })),
      resources: this.resources(),
    };
  }

  resources(): CloudInventory['resources'] {
    return this.#resources.all().map(({ facts, suppliedUs }) => ({
      facts: JSON.parse(String(facts)),
      suppliedUs: Number(suppliedUs),
    }));
  }
}
