/** Makes declarations from maps of YAML and JSON documents: CloudFormation, Kubernetes, Packer, Ansible, Pulumi. */
import { isUnknown, type Place, type Value } from '../evaluate/value.ts';
import type { ChangeEffect, Fix, HostSelector } from '../finding.ts';
import type {
  ContainerSign,
  Declaration,
  DefaultSettings,
  Endpoint,
  ImageFact,
  Said,
  Settings,
  TemplateLink,
  Tokens,
} from '../rules/declaration.ts';
import { SILENT } from '../rules/declaration.ts';
import { parseEndpoint, parseHopLimit, parseTokens } from '../rules/parse_settings.ts';
import { type EditTarget, fillEmpty, insertEntry, type NewValue, replaceScalar } from './edit_documents.ts';
import { type DocumentNode, entryOf, get, type MapEntry } from './node.ts';

/** Names of the settings in one language. */
export interface SettingNames {
  /** Keys from the owner to the map with the settings; [] when the owner has them itself. */
  path: readonly string[];
  tokens: string;
  endpoint: string | null;
  hopLimit: string | null;
  parseTokens?: (value: Value) => Tokens | null;
  required?: string | number | boolean;
  parseEndpoint?: (value: Value) => Endpoint | null;
}

export interface DocumentDeclaration {
  target: EditTarget;
  /** Map that `names.path` begins at. */
  owner: DocumentNode | undefined;
  /** The place of a missing owner, which is added: `Properties` to the resource. */
  missingOwner?: { map: DocumentNode; key: string };
  names: SettingNames;
  evaluate: (node: DocumentNode) => Value;
  kind?: Declaration['kind'];
  type: string;
  address: string;
  whole: Place;
  head: Place;
  templates?: readonly TemplateLink[];
  aliases?: readonly string[];
  image?: ImageFact;
  defaults?: DefaultSettings | null;
  effect: ChangeEffect;
  elsewhere?: readonly string[];
  hosts?: HostSelector | null;
  containers?: ContainerSign | null;
  /** False for generated files, where an edit would be lost. */
  isEditable?: boolean;
}

export function declareDocument(document: DocumentDeclaration): Declaration {
  const { target, owner, names, evaluate, isEditable = true } = document;
  const { settings, holder, entry } = readSettings(target.path, owner, names, evaluate);
  return {
    kind: document.kind ?? 'launcher',
    type: document.type,
    address: document.address,
    instances: 1,
    path: target.path,
    whole: document.whole,
    head: document.head,
    settings,
    templates: document.templates ?? [],
    names: document.aliases ?? [],
    image: document.image ?? { is: 'silent' },
    defaults: document.defaults ?? null,
    region: '',
    setting: names.tokens,
    effect: document.effect,
    elsewhere: document.elsewhere ?? [],
    hosts: document.hosts ?? null,
    containers: document.containers ?? null,
    caveat: null,
    repair: () => (isEditable ? repair(document, settings, holder, entry) : null),
  };
}

function readSettings(
  path: string,
  owner: DocumentNode | undefined,
  names: SettingNames,
  evaluate: (node: DocumentNode) => Value,
): { settings: Settings; holder: DocumentNode | undefined; entry: MapEntry | undefined } {
  const none: Settings = { tokens: SILENT, endpoint: SILENT, hopLimit: SILENT, block: null };
  let at = owner;
  let entry: MapEntry | undefined;
  for (const key of names.path) {
    // A map that is computed is looked through: `!If [Secure, {…}, {…}]`.
    if (at !== undefined && isComputed(at)) return throughValue(path, at, names, evaluate);
    entry = entryOf(at, key);
    at = entry?.value;
  }
  if (at === undefined) return { settings: none, holder: undefined, entry };
  if (isComputed(at)) return throughValue(path, at, names, evaluate);
  const block: Place | null =
    entry === undefined ? null : { path, start: entry.keyStart, end: entry.keyStart + entry.key.length };
  const read = <T>(key: string | null, parse: (value: Value) => T | null): Said<T> => {
    const found = key === null ? undefined : entryOf(at, key);
    if (found === undefined) return SILENT;
    const place = { path, start: found.keyStart, end: Math.max(found.value.end, found.keyStart) };
    return saidOf(evaluate(found.value), place, parse);
  };
  return {
    settings: {
      tokens: read(names.tokens, names.parseTokens ?? parseTokens),
      endpoint: read(names.endpoint, names.parseEndpoint ?? parseEndpoint),
      hopLimit: read(names.hopLimit, parseHopLimit),
      block,
    },
    holder: at,
    entry,
  };
}

function isComputed(node: DocumentNode): boolean {
  if (node.tag !== null) return true;
  return node.kind === 'map' && node.entries.length === 1 && /^(Fn::|Ref$)/.test(node.entries[0]!.key);
}

/** Reads settings of a map that a function returns. */
function throughValue(
  path: string,
  node: DocumentNode,
  names: SettingNames,
  evaluate: (node: DocumentNode) => Value,
): { settings: Settings; holder: undefined; entry: undefined } {
  const value = evaluate(node);
  const place = { path, start: node.start, end: node.end };
  const none: Settings = { tokens: SILENT, endpoint: SILENT, hopLimit: SILENT, block: place };
  if (isUnknown(value.data)) {
    const tokens = { is: 'unknown', reason: value.data.reason, place, steps: value.steps } as const;
    return { settings: { ...none, tokens }, holder: undefined, entry: undefined };
  }
  if (!(value.data instanceof Map))
    return { settings: { ...none, block: null }, holder: undefined, entry: undefined };
  const map = value.data as ReadonlyMap<string, Value>;
  const read = <T>(key: string | null, parse: (inner: Value) => T | null): Said<T> => {
    const inner = key === null ? undefined : map.get(key);
    return inner === undefined ? SILENT : saidOf(inner, inner.literal ?? place, parse);
  };
  return {
    settings: {
      tokens: read(names.tokens, names.parseTokens ?? parseTokens),
      endpoint: read(names.endpoint, names.parseEndpoint ?? parseEndpoint),
      hopLimit: read(names.hopLimit, parseHopLimit),
      block: place,
    },
    holder: undefined,
    entry: undefined,
  };
}

function saidOf<T>(value: Value, place: Place, parse: (value: Value) => T | null): Said<T> {
  const { data, literal, steps } = value;
  if (data === null) return { is: 'silent', place, literal, steps };
  if (isUnknown(data)) return { is: 'unknown', reason: data.reason, place, steps };
  const parsed = parse(value);
  if (parsed !== null) return { is: 'said', value: parsed, place, literal, steps };
  const reason = `${JSON.stringify(data instanceof Map ? 'a map' : data)?.slice(0, 80)} is no value of this setting`;
  return { is: 'unknown', reason, place, steps };
}

function repair(
  document: DocumentDeclaration,
  settings: Settings,
  holder: DocumentNode | undefined,
  entry: MapEntry | undefined,
): Fix | null {
  const { target, owner, names, missingOwner } = document;
  const required = names.required ?? 'required';
  const summary = `Set ${names.tokens} to ${required}.`;
  const { tokens } = settings;
  const done = (edits: Fix['edits']): Fix | null => (edits.length === 0 ? null : { summary, edits });
  if (tokens.is === 'unknown') return null;
  if (tokens.literal !== null) {
    return tokens.literal.path === target.path ? done(replaceScalar(target, tokens.literal, required)) : null;
  }
  if (tokens.place !== null) return null;
  if (holder !== undefined) return done(addTo(target, holder, names.tokens, required, entry));
  // A map that is computed cannot be added to.
  if (settings.block !== null) return null;
  let map = owner;
  let at = 0;
  while (at < names.path.length && get(map, names.path[at]!) !== undefined) map = get(map, names.path[at++]!);
  const value = nest(names.path.slice(at + 1), { [names.tokens]: required });
  const key = names.path[at];
  if (key === undefined) return null;
  if (map === undefined) {
    if (missingOwner?.map.kind !== 'map') return null;
    return done(insertEntry(target, missingOwner.map, missingOwner.key, { [key]: value }));
  }
  return map.kind === 'map' && !isComputed(map) ? done(insertEntry(target, map, key, value)) : null;
}

function addTo(
  target: EditTarget,
  holder: DocumentNode,
  key: string,
  value: NewValue,
  entry: MapEntry | undefined,
): Fix['edits'] {
  if (holder.kind === 'map') return insertEntry(target, holder, key, value);
  if (holder.kind !== 'scalar' || holder.value !== null || entry === undefined) return [];
  return fillEmpty(target, entry.keyStart, holder, { [key]: value });
}

function nest(path: readonly string[], value: NewValue): NewValue {
  return path.reduceRight<NewValue>((inner, key) => ({ [key]: inner }), value);
}

/** Returns the places of a resource: all of it, and its first line. */
export function placesOf(
  path: string,
  keyStart: number,
  keyLength: number,
  node: DocumentNode,
): { whole: Place; head: Place } {
  return {
    whole: { path, start: keyStart, end: Math.max(node.end, keyStart + keyLength) },
    head: { path, start: keyStart, end: keyStart + keyLength },
  };
}
