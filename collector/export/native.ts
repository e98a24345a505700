/** The shape of docs/events.md. An alert has the version of its body. */
import type { ExportItem } from './item.ts';
import type { JsonObject } from './json.ts';
import type { Shape } from './shape.ts';

/** Version of an alert's body. A change that receivers must know about increases it. */
export const ALERT_VERSION = 2;

export const native: Shape = {
  name: 'native',
  streams: ['alerts', 'calls', 'findings', 'audit'],
  toValues: (item) => [jsonOf(item)],
};

function jsonOf(item: ExportItem): JsonObject {
  switch (item.stream) {
    case 'alerts':
      return { version: ALERT_VERSION, ...item.alert };
    case 'calls':
      return item.call as unknown as JsonObject;
    case 'findings':
      return item.finding as unknown as JsonObject;
    case 'audit':
      return { ...item.entry };
  }
}
