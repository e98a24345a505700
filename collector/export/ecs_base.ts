/** Fields that all documents of the Elastic Common Schema 9.4 have (github.com/elastic/ecs, v9.4.0). */
import { isIP } from 'node:net';
import { VERSION } from '../../common/version.ts';
import { compact } from './compact.ts';
import type { Json, JsonObject } from './json.ts';

export const ECS_VERSION = '9.4.0';

/** Severity of findings and alerts: that of OCSF, so that both can be compared. */
export const ECS_SEVERITY = { info: 1, warning: 3, critical: 5 } as const;

interface Document {
  time: string;
  message: string;
  dataset: 'calls' | 'findings' | 'audit' | 'alerts';
  /** Fields of `event` beside those that all have. */
  event: { readonly [key: string]: Json | undefined };
}

export function documentOf({ time, message, dataset, event }: Document) {
  const name = `imdswatch.${dataset}`;
  return {
    '@timestamp': time,
    message,
    ecs: { version: ECS_VERSION },
    event: compact({ ...event, module: 'imdswatch', dataset: name }),
    observer: { type: 'sensor', vendor: 'imdswatch', product: 'imdswatch', version: VERSION },
    data_stream: { type: 'logs', dataset: name, namespace: 'default' },
  };
}

/** An address of a connection: `ip` takes no other text than an address. */
export function addressFields(address: string): JsonObject {
  return isIP(address) === 0 ? { address } : { address, ip: address };
}

/** Labels are flat keywords. A dot in a key would make an object of it. */
export function labelsOf(tags: Readonly<Record<string, string>> | undefined): JsonObject | null {
  const entries = Object.entries(tags ?? {});
  if (entries.length === 0) return null;
  return Object.fromEntries(entries.map(([key, value]) => [key.replaceAll('.', '_'), value]));
}

/** Returns the values that are known, each once; null where there is none. */
export function distinct(values: readonly (string | null | undefined)[]): string[] | null {
  const known = new Set(values.filter((value) => typeof value === 'string' && value !== ''));
  return known.size === 0 ? null : ([...known] as string[]);
}

export interface HostFields {
  id: string;
  name: string;
  account?: string | null | undefined;
  region?: string | null | undefined;
  zone?: string | null | undefined;
  type?: string | null | undefined;
}

/** The host and its place in the cloud. */
export function hostFields({ id, name, account, region, zone, type }: HostFields, isInstance: boolean) {
  const isInCloud = isInstance || typeof account === 'string' || typeof region === 'string';
  return {
    host: { id, name, hostname: name },
    cloud: isInCloud
      ? compact({
          provider: 'aws',
          account: typeof account === 'string' ? { id: account } : null,
          region,
          availability_zone: zone,
          instance: isInstance ? { id } : null,
          machine: typeof type === 'string' ? { type } : null,
        })
      : null,
  };
}
