/** The dashboards that are made from docker/mixin, and their expressions. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './images.ts';

export interface Panel {
  id: number;
  type: string;
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  datasource?: { type: string; uid: string };
  targets?: { expr: string; refId: string; datasource: { uid: string } }[];
}
export interface Dashboard {
  uid: string;
  title: string;
  schemaVersion: number;
  panels: Panel[];
  templating: { list: { name: string; type: string; query: unknown; datasource?: { uid: string } }[] };
}

const DIRECTORY = join(ROOT, 'docker/grafana');

export function allDashboards(): { name: string; dashboard: Dashboard }[] {
  return readdirSync(DIRECTORY)
    .sort()
    .map((name) => ({
      name,
      dashboard: JSON.parse(readFileSync(join(DIRECTORY, name), 'utf8')) as Dashboard,
    }));
}

export function expressionsOf({ panels }: Dashboard): string[] {
  return panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
}
