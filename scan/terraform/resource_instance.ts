/** One instance of a resource, as the files that read resources pass it on. */
import type { Expanded, ModuleInstance } from './instance.ts';
import type { PlacedBlock } from './module.ts';

/** Returns the text of a scanned file, or null. */
export type TextOf = (path: string) => string | null;

export interface ResourceInstance {
  instance: ModuleInstance;
  placed: PlacedBlock;
  expanded: Expanded;
  address: string;
  instances: number;
  textOf: TextOf;
}
