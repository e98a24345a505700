/** Makes declarations from the resources of an evaluated module and of the modules that it calls. */
import { evaluate } from '../evaluate/expression.ts';
import { asText, isMap, type Value } from '../evaluate/value.ts';
import type { HostSelector } from '../finding.ts';
import { attributeOf, type Block } from '../hcl/tree.ts';
import { containerSign } from '../rules/containers.ts';
import type { Declaration, ImageFact, Settings } from '../rules/declaration.ts';
import { SILENT } from '../rules/declaration.ts';
import { parseEndpoint, parseHopLimit } from '../rules/parse_settings.ts';
import { imageOf } from './images.ts';
import { headOf, type ModuleInstance } from './instance.ts';
import { declareModuleCalls } from './module_calls.ts';
import { type Nested, nestedBlocks, readAttribute } from './nested.ts';
import { repairTokens } from './repair.ts';
import type { ResourceInstance, TextOf } from './resource_instance.ts';
import { RESOURCE_KINDS, type ResourceKind } from './resource_kinds.ts';
import { declareSpecial } from './special_resources.ts';
import { templateLinks } from './template_links.ts';

/** Declares everything in a root module and below it. */
export function declareModule(instance: ModuleInstance, textOf: TextOf): Declaration[] {
  const found: Declaration[] = [];
  for (const [name, placed] of instance.module.resources) {
    const type = placed.block.labels[0] ?? '';
    const kind = Object.hasOwn(RESOURCE_KINDS, type) ? RESOURCE_KINDS[type] : undefined;
    const instances = kind === undefined && !isSpecial(type) ? [] : instance.expand(placed);
    for (const expanded of instances) {
      const base = {
        instance,
        placed,
        expanded,
        address: `${instance.prefix}${name}`,
        instances: instances.length,
        textOf,
      };
      if (kind !== undefined) found.push(declareResource(base, type, kind));
      else found.push(...declareSpecial(base, type));
    }
  }
  found.push(...declareModuleCalls(instance, textOf));
  for (const children of instance.children().values())
    for (const child of children) found.push(...declareModule(child, textOf));
  return found;
}

function isSpecial(type: string): boolean {
  return (
    type === 'aws_emr_security_configuration' ||
    type === 'aws_elastic_beanstalk_environment' ||
    type === 'aws_elastic_beanstalk_configuration_template'
  );
}

function declareResource(resource: ResourceInstance, type: string, kind: ResourceKind): Declaration {
  const { instance, placed, expanded, address, instances, textOf } = resource;
  const { block, path } = placed;
  const { scope } = expanded;
  const { settings, holder } = readSettings(block, kind, resource);
  const templates = templateLinks(block, kind, resource);
  const image =
    kind.image === null ? ownImage(block, type, resource) : imageOf(block, kind.image, instance, scope);
  return {
    kind: kind.kind,
    type,
    address,
    instances,
    path,
    whole: { path, start: block.start, end: block.end },
    head: headOf(placed),
    settings,
    templates,
    names: namesOf(block, resource),
    image,
    defaults: null,
    region: instance.regionOf(placed),
    setting: kind.tokens,
    effect: kind.effect,
    elsewhere: kind.elsewhere,
    hosts: hostsOf(block, type, resource),
    containers: containerSign(userDataOf(block, resource), isEksType(type)),
    caveat: kind.caveat ?? null,
    repair: () =>
      kind.kind === 'group' || kind.kind === 'image' || kind.templates === 'spot_fleet'
        ? null
        : repairTokens({
            path,
            textOf,
            tokens: settings.tokens,
            name: kind.tokens,
            required: kind.required,
            settings: holder,
            owner: block,
            blockType: settings.block !== null && holder === null ? 'unknown' : kind.block,
          }),
  };
}

/** Reads the settings, and returns the block that holds them in the code. */
function readSettings(
  block: Block,
  kind: ResourceKind,
  { expanded: { scope } }: ResourceInstance,
): { settings: Settings; holder: Block | null } {
  const none: Settings = { tokens: SILENT, endpoint: SILENT, hopLimit: SILENT, block: null };
  if (kind.block === null) {
    if (kind.kind !== 'account_default') return { settings: none, holder: null };
    return { settings: settingsIn({ block, scope }, kind), holder: block };
  }
  const answer = nestedBlocks(block, kind.block, scope);
  if (answer.is === 'absent') return { settings: none, holder: null };
  if (answer.is === 'unknown') {
    const tokens = { is: 'unknown', reason: answer.reason, place: answer.place, steps: [] } as const;
    return { settings: { ...none, tokens, block: answer.place }, holder: null };
  }
  const nested = answer.nested[0]!;
  return { settings: settingsIn(nested, kind), holder: nested.block };
}

function settingsIn({ block, scope }: Nested, kind: ResourceKind): Settings {
  return {
    tokens: readAttribute(block, kind.tokens, scope, kind.parseTokens),
    endpoint: kind.endpoint === null ? SILENT : readAttribute(block, kind.endpoint, scope, parseEndpoint),
    hopLimit: kind.hopLimit === null ? SILENT : readAttribute(block, kind.hopLimit, scope, parseHopLimit),
    block: { path: scope.path, start: block.start, end: block.bodyStart },
  };
}

/** Returns the names under which others refer to a template: its literal name, for `launch_template { name }`. */
function namesOf(block: Block, { expanded: { scope } }: ResourceInstance): string[] {
  const name = attributeOf(block, 'name');
  const text = name === undefined ? null : asText(evaluate(name.value, scope).data);
  return text === null ? [] : [`name:${text}`];
}

/** Reads `imds_support` of an image resource. */
function ownImage(block: Block, type: string, { expanded: { scope } }: ResourceInstance): ImageFact {
  if (type !== 'aws_ami') return { is: 'silent' };
  const said = readAttribute(block, 'imds_support', scope, ({ data }) => asText(data));
  if (said.is === 'unknown') return { is: 'unknown', reason: said.reason };
  return said.is === 'said' && said.value === 'v2.0'
    ? { is: 'v2.0', says: 'has ImdsSupport v2.0', place: said.place, source: '' }
    : { is: 'plain', says: 'has no ImdsSupport v2.0', place: said.place };
}

function isEksType(type: string): boolean {
  return type === 'aws_eks_node_group';
}

/** Returns the user data as text; null when it is unknown, '' when there is none. */
function userDataOf(block: Block, { expanded: { scope } }: ResourceInstance): string | null {
  for (const [name, isEncoded] of [
    ['user_data', false],
    ['user_data_base64', true],
  ] as const) {
    const attribute = attributeOf(block, name);
    if (attribute === undefined) continue;
    const text = asText(evaluate(attribute.value, scope).data);
    if (text === null) return null;
    const looksEncoded = isEncoded || /^[A-Za-z0-9+/\s]+=*$/.test(text);
    return looksEncoded ? Buffer.from(text, 'base64').toString('utf8') : text;
  }
  return '';
}

/** Returns the facts by which running hosts can be matched. */
function hostsOf(block: Block, type: string, { expanded: { scope } }: ResourceInstance): HostSelector | null {
  const groups: string[] = [];
  const tags: Record<string, string> = {};
  if (type === 'aws_autoscaling_group') {
    const name = attributeOf(block, 'name');
    const text = name === undefined ? null : asText(evaluate(name.value, scope).data);
    if (text !== null) groups.push(text);
  }
  const written = attributeOf(block, 'tags');
  if (type === 'aws_instance' && written !== undefined)
    Object.assign(tags, textsOf(evaluate(written.value, scope)));
  if (groups.length === 0 && Object.keys(tags).length === 0) return null;
  return { instanceIds: [], autoScalingGroups: groups, launchTemplateIds: [], tags };
}

function textsOf({ data }: Value): Record<string, string> {
  if (!isMap(data)) return {};
  const texts: Record<string, string> = {};
  for (const [key, value] of data) {
    const text = asText(value.data);
    if (text !== null) texts[key] = text;
  }
  return texts;
}
