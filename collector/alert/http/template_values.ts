/** Makes the values that body templates see: the alert, with an object also where it has none. */
import type { Alert } from '../../contract/alert.ts';
import type { JsonObject } from '../../export/json.ts';
import { toMicroseconds } from '../../store/time.ts';

const NO_OBJECT = {
  ...{ type: null, id: null, name: null, account: null, region: null },
  ...{ accounts: [], regions: [], tags: {}, owner: null },
};

/**
 * `source`: the name of what the alert is about. `now` and `seconds`: the time of the alert in seconds since 1970, whole and
 * with a fraction. `shape`: the record in its shape. `values`: the destination's own values.
 */
export function templateValues(
  alert: Alert,
  shape: JsonObject,
  values: Readonly<Record<string, string | null>>,
): Record<string, unknown> {
  const us = toMicroseconds(alert.time);
  return {
    ...alert,
    object: alert.object ?? NO_OBJECT,
    source: alert.object?.name ?? 'imdswatch',
    resolved: alert.state === 'resolved',
    seconds: us / 1e6,
    milliseconds: Math.floor(us / 1000),
    shape,
    values,
  };
}
