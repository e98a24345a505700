/** Reads accounts and regions into one document for the collector. Nothing in the cloud is changed. */
import type { CloudDocument } from '../../collector/contract/cloud.ts';
import { callerAccount } from './aws_cloud.ts';
import { type Connection, connect } from './connection.ts';
import type { CredentialSettings } from './credential_settings.ts';
import { readCounts } from './read_counts.ts';
import { problemText, readInventory } from './read_inventory.ts';
import { accountOfRole } from './roles.ts';

const PURPOSE = 'cloud-sync';
const PLACES_AT_A_TIME = 4;

export interface SyncSettings {
  credentials: CredentialSettings;
  regions: readonly string[];
  /** Days of CloudWatch's counts. */
  days: number;
  nowMs: number;
}

export interface SyncResult {
  document: CloudDocument;
  /** Number of instances whose options were being changed. They are not in `metadata_options`. */
  pending: number;
}

type Part = Pick<CloudDocument, 'counts' | 'metadata_options' | 'inventory'> & {
  place: CloudDocument['places'][number];
  pending: number;
};

/**
 * Reads the accounts of the roles, or the account of the operator's own credentials if there are none.
 * Rejects if an account cannot be reached at all. A read that fails is among the problems of its place.
 */
export async function sync(settings: SyncSettings): Promise<SyncResult> {
  const { credentials, regions } = settings;
  const accounts: (string | null)[] = credentials.roles.map(accountOfRole);
  if (accounts.length === 0) accounts.push(null);
  const waiting = accounts.flatMap((account) => regions.map((region) => ({ account, region })));
  const parts: Part[] = [];
  const work = async () => {
    for (let place = waiting.shift(); place !== undefined; place = waiting.shift()) {
      const connection = connect(credentials, place, PURPOSE);
      try {
        parts.push(await readPlace(connection, place, settings));
      } finally {
        connection.close();
      }
    }
  };
  await Promise.all(Array.from({ length: PLACES_AT_A_TIME }, work));
  parts.sort((a, b) => (placeKey(a) < placeKey(b) ? -1 : 1));
  return {
    document: {
      imdswatch_cloud: 1,
      made: new Date(settings.nowMs).toISOString(),
      places: parts.map(({ place }) => place),
      counts: parts.flatMap(({ counts }) => counts),
      metadata_options: parts.flatMap(({ metadata_options: options }) => options),
      inventory: {
        instances: parts.flatMap(({ inventory }) => inventory.instances),
        resources: parts.flatMap(({ inventory }) => inventory.resources),
      },
    },
    pending: parts.reduce((sum, { pending }) => sum + pending, 0),
  };
}

function placeKey({ place: { account, region } }: Part): string {
  return `${account} ${region}`;
}

async function readPlace(
  connection: Connection,
  { account: wanted, region }: { account: string | null; region: string },
  { days, nowMs }: SyncSettings,
): Promise<Part> {
  const account = await callerAccount(connection);
  if (wanted !== null && account !== wanted) {
    throw new Error(`The credentials for ${wanted} are for the account ${account}. Check the role.`);
  }
  const place = { account, region };
  const { options, inventory, pending, problems } = await readInventory(connection, place);
  const instanceIds = inventory.instances.map(({ instance_id }) => instance_id);
  const counts = await readCounts(connection.cloudWatch, { instanceIds, nowMs, days }).catch(
    (error: unknown) => {
      problems.push(problemText("CloudWatch's counts", error));
      return [];
    },
  );
  return { place: { ...place, problems }, counts, metadata_options: options, inventory, pending };
}
