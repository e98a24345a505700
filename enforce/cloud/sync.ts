/** Reads accounts and regions into one document for the collector. Nothing in the cloud is changed. */
import type { CloudDocument } from '../../collector/contract/cloud.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { errorText } from '../cloud_message.ts';
import { callerAccount } from './aws_cloud.ts';
import { type Connection, connect } from './connection.ts';
import type { CredentialSettings } from './credential_settings.ts';
import { outcome } from './errors.ts';
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
 * Reads the accounts of the roles, or the account of the operator's own credentials if there are none. A read that
 * fails, or an account that cannot be reached, is among the problems of its place. Rejects if the operator's own
 * account cannot be reached.
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
  const reached = await outcome(() => callerAccount(connection));
  if (wanted !== null && !reached.ok) {
    return unread({ account: wanted, region }, `The account was not reached: ${errorText(reached.error)}`);
  }
  if (!reached.ok) {
    throw new OperatorError(
      1,
      `AWS was not read, and nothing was stored: ${errorText(reached.error)} Check your credentials and the regions.`,
    );
  }
  const account = reached.value;
  if (wanted !== null && account !== wanted) {
    return unread({ account: wanted, region }, `The role's credentials are for the account ${account}.`);
  }
  const place = { account, region };
  const { options, inventory, pending, problems } = await readInventory(connection, place);
  if (problems.length === 0) {
    const made = new Date(nowMs).toISOString();
    inventory.resources.push({ kind: 'complete_read', ...place, id: 'inventory', made });
  }
  const instanceIds = inventory.instances.map(({ instance_id }) => instance_id);
  const counts = await readCounts(connection.cloudWatch, { instanceIds, nowMs, days }).catch(
    (error: unknown) => {
      problems.push(problemText("CloudWatch's counts", error));
      return [];
    },
  );
  return { place: { ...place, problems }, counts, metadata_options: options, inventory, pending };
}

function unread(place: { account: string; region: string }, problem: string): Part {
  const inventory = { instances: [], resources: [] };
  return {
    place: { ...place, problems: [problem] },
    counts: [],
    metadata_options: [],
    inventory,
    pending: 0,
  };
}
