/** A document with positions: what YAML and JSON have in common. All positions are UTF-16 indices. */

export interface NodeSpan {
  start: number;
  /** Behind the value itself, without comments or line ends. */
  end: number;
}

export interface MapEntry {
  key: string;
  keyStart: number;
  value: DocumentNode;
}

export type DocumentNode = NodeSpan & {
  /** Short tag of YAML without `!`: `Ref`, `If`, `Fn::Sub`; null for none. */
  tag: string | null;
} & (
    | { kind: 'map'; entries: MapEntry[]; isFlow: boolean }
    | { kind: 'list'; items: DocumentNode[] }
    | { kind: 'scalar'; value: string | number | boolean | null; isBlock: boolean }
  );

export type MapNode = Extract<DocumentNode, { kind: 'map' }>;

export interface ParsedDocuments {
  path: string;
  syntax: 'yaml' | 'json';
  roots: DocumentNode[];
  errors: NodeSpan[];
}

/** Returns the value of a key; undefined when the node is no map or has no such key. */
export function get(node: DocumentNode | undefined, key: string): DocumentNode | undefined {
  return entryOf(node, key)?.value;
}

export function entryOf(node: DocumentNode | undefined, key: string): MapEntry | undefined {
  return node?.kind === 'map' ? node.entries.find((entry) => entry.key === key) : undefined;
}

/** Returns the value at the end of a path of keys. */
export function getPath(node: DocumentNode | undefined, path: readonly string[]): DocumentNode | undefined {
  return path.reduce(get, node);
}

/** Returns the text of a scalar; null for everything else. */
export function textOf(node: DocumentNode | undefined): string | null {
  return node?.kind === 'scalar' && node.value !== null ? String(node.value) : null;
}

export function itemsOf(node: DocumentNode | undefined): readonly DocumentNode[] {
  return node?.kind === 'list' ? node.items : [];
}

export function entriesOf(node: DocumentNode | undefined): readonly MapEntry[] {
  return node?.kind === 'map' ? node.entries : [];
}
