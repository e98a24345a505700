/**
 * Profiles: what hosts have in common, such as their image and tags. The hosts of a group share few of them,
 * so that groups are found without reading the facts of every host.
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { SCALING_GROUP_TAG, TEMPLATE_TAG, TEMPLATE_VERSION_TAG } from '../../../common/instance_tags.ts';
import type { HostFacts } from '../../../protocol/call.ts';
import type { CloudMember, HostProfile } from '../store.ts';

/** A host that changes its tags more often loses its oldest membership. */
const MAX_PROFILES_OF_HOST = 20;

/**
 * Schema step 11. A host keeps the profiles that it had before (`until_us`), because it belonged to their
 * groups. An instance of the cloud's inventory has one as well. `first_us` is when an agent first reported a
 * profile. The number of a profile is never given again, because readers remember profiles by their numbers.
 */
export function toProfiles(database: DatabaseSync): void {
  database.exec(`
    CREATE TABLE profiles (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      facts TEXT NOT NULL UNIQUE,
      first_us INTEGER
    ) STRICT;
    CREATE TABLE host_profiles (
      host INTEGER NOT NULL,
      profile INTEGER NOT NULL,
      until_us INTEGER,
      PRIMARY KEY (host, profile)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX hosts_of_profile ON host_profiles (profile);
    ALTER TABLE cloud_members ADD COLUMN profile INTEGER;
    CREATE INDEX members_of_profile ON cloud_members (profile);
    CREATE INDEX cloud_counts_of_calls ON cloud_counts (end_us) WHERE no_token > 0 OR no_token_rejected > 0;
  `);
  const profiles = new Profiles(database);
  for (const { id, facts, first_us: firstUs } of database
    .prepare('SELECT id, facts, first_us FROM hosts')
    .all()) {
    profiles.setHostProfile(Number(id), JSON.parse(String(facts)) as HostFacts, Number(firstUs ?? 0));
  }
  profiles.setCloudProfiles(database.prepare('SELECT host_id FROM cloud_members').all().map(hostIdOf));
}

export class Profiles {
  readonly #add: StatementSync;
  readonly #close: StatementSync;
  readonly #open: StatementSync;
  readonly #oldest: StatementSync;
  readonly #member: StatementSync;
  readonly #setMember: StatementSync;

  constructor(database: DatabaseSync) {
    this.#add = database.prepare(
      `INSERT INTO profiles (facts, first_us) VALUES (?, ?)
       ON CONFLICT (facts) DO UPDATE SET first_us = min(coalesce(first_us, excluded.first_us), coalesce(excluded.first_us, first_us))
       RETURNING id`,
    );
    this.#close = database.prepare(
      'UPDATE host_profiles SET until_us = ? WHERE host = ? AND until_us IS NULL AND profile <> ?',
    );
    this.#open = database.prepare(
      `INSERT INTO host_profiles (host, profile, until_us) VALUES (?, ?, NULL)
       ON CONFLICT (host, profile) DO UPDATE SET until_us = NULL`,
    );
    this.#oldest = database.prepare(
      `DELETE FROM host_profiles WHERE host = ?1 AND profile IN (SELECT profile FROM host_profiles
         WHERE host = ?1 AND until_us IS NOT NULL ORDER BY until_us DESC LIMIT -1 OFFSET ${MAX_PROFILES_OF_HOST})`,
    );
    this.#member = database.prepare(
      `SELECT account, region, image_id AS imageId, scaling_group AS scalingGroup, template_id AS templateId,
         template_version AS templateVersion, tags FROM cloud_members WHERE host_id = ?`,
    );
    this.#setMember = database.prepare('UPDATE cloud_members SET profile = ? WHERE host_id = ?');
  }

  /** Sets what a host reports now. `nowUs`: microseconds since 1970. */
  setHostProfile(host: number, { id: _id, name: _name, ...facts }: HostFacts, nowUs: number): void {
    const profile = Number(this.#add.get(profileText(facts), nowUs)!['id']);
    this.#close.run(nowUs, host, profile);
    this.#open.run(host, profile);
    this.#oldest.run(host);
  }

  /** Sets the profiles of instances whose rows of the inventory have changed. */
  setCloudProfiles(hostIds: readonly string[]): void {
    for (const hostId of hostIds) {
      const row = this.#member.get(hostId) as unknown as StoredMember | undefined;
      if (row === undefined) continue;
      this.#setMember.run(Number(this.#add.get(profileText(profileOfMember(row)), null)!['id']), hostId);
    }
  }
}

export type StoredMember = Pick<
  CloudMember,
  'account' | 'region' | 'imageId' | 'scalingGroup' | 'templateId' | 'templateVersion'
> & { tags: string | null };

/** The tags that AWS sets on an instance say the same as the fields of the inventory. */
export function profileOfMember(member: StoredMember): HostProfile {
  const { account, region, imageId, scalingGroup, templateId, templateVersion } = member;
  const tags: Record<string, string> = member.tags === null ? {} : JSON.parse(member.tags);
  if (scalingGroup !== null) tags[SCALING_GROUP_TAG] = scalingGroup;
  if (templateId !== null) tags[TEMPLATE_TAG] = templateId;
  if (templateVersion !== null) tags[TEMPLATE_VERSION_TAG] = String(templateVersion);
  return {
    'cloud.account.id': account,
    'cloud.region': region,
    ...(imageId !== null && { 'image.id': imageId }),
    tags,
  };
}

/** Returns equal texts for equal profiles: the keys are sorted. */
export function profileText({ tags, ...facts }: HostProfile): string {
  const sorted = (entries: object) =>
    Object.fromEntries(Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify({ ...sorted(facts), ...(tags !== undefined && { tags: sorted(tags) }) });
}

function hostIdOf(row: Record<string, unknown>): string {
  return String(row['host_id']);
}
