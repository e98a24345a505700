/** Makes declarations from calls of registry modules whose defaults are known. */
import { evaluate, type Scope } from '../evaluate/expression.ts';
import { isMap, isUnknown, type Place, type Value } from '../evaluate/value.ts';
import { attributeOf, type Block, blocksOf } from '../hcl/tree.ts';
import type { Declaration, DefaultSettings, Settings, Tokens } from '../rules/declaration.ts';
import { SILENT } from '../rules/declaration.ts';
import { parseDisablesV1, parseEndpoint, parseHopLimit, parseTokens } from '../rules/parse_settings.ts';
import { headOf, type ModuleInstance } from './instance.ts';
import { type KnownModule, knownModule, type ModuleDefaults, moduleDefault } from './known_modules.ts';
import { literalOf, type PlacedBlock } from './module.ts';
import { placeOf, readAttribute, readValue } from './nested.ts';
import { repairMap, repairTokens } from './repair.ts';
import type { TextOf } from './resource_instance.ts';
import { INSTANCE_IDS, LAUNCH_TEMPLATE_IDS, RESOURCE_KINDS } from './resource_kinds.ts';
import { compareVersions, LATEST, newestAllowed, versionText } from './version_constraint.ts';

export function declareModuleCalls(instance: ModuleInstance, textOf: TextOf): Declaration[] {
  const found: Declaration[] = [];
  for (const [name, placed] of instance.module.calls) {
    const source = literalOf(placed.block, 'source');
    const known = source === null ? null : knownModule(source);
    if (known === null) continue;
    const release = releaseOf(known.module, known.gitVersion ?? literalOf(placed.block, 'version') ?? '');
    if (release === null) continue;
    const isNodeGroup = /^modules\/(eks-managed-node-group|self-managed-node-group)\b/.test(known.sub);
    if (known.sub !== '' && !isNodeGroup) continue;
    const expanded = instance.expand(placed);
    for (const { scope } of expanded) {
      const call = {
        instance,
        placed,
        scope,
        ...release,
        module: known.module,
        textOf,
        instances: expanded.length,
      };
      const address = `${instance.prefix}module.${name}`;
      if (known.module.groups.length > 0 && !isNodeGroup) found.push(...declareGroups(call, address));
      else found.push(declareCall(call, address, inputOf(call)));
    }
  }
  return found;
}

interface Call {
  instance: ModuleInstance;
  placed: PlacedBlock;
  scope: Scope;
  module: KnownModule;
  defaults: ModuleDefaults;
  version: string | null;
  constraint: string;
  textOf: TextOf;
  instances: number;
}

interface Release {
  defaults: ModuleDefaults;
  /** Null where the constraint is none that can be read, such as the name of a branch. */
  version: string | null;
  constraint: string;
}

function releaseOf(module: KnownModule, constraint: string): Release | null {
  const newest = constraint.trim() === '' ? LATEST : newestAllowed(constraint);
  const [latest] = module.releases;
  if (newest === null) return latest === undefined ? null : { defaults: latest, version: null, constraint };
  const defaults = module.releases.find(({ from }) => compareVersions(newest, from) >= 0);
  return defaults === undefined ? null : { defaults, version: versionText(newest), constraint };
}

/** Settings as the call gives them, and what the module makes of a missing one. */
interface Input {
  settings: Settings;
  /** State of the map: decides which default applies. */
  given: 'none' | 'empty' | 'partial';
  /** Object in the code that an entry can be added to. */
  object: Place | null;
  block: Block | null;
}

const NOTHING: Input = {
  settings: { tokens: SILENT, endpoint: SILENT, hopLimit: SILENT, block: null },
  given: 'none',
  object: null,
  block: null,
};

function inputOf({ placed, scope, module }: Call): Input {
  const { block } = placed;
  if (module.isSwitch) {
    const tokens = readAttribute(block, module.input, scope, parseDisablesV1);
    const endpoint = readAttribute(block, 'metadata_http_endpoint_enabled', scope, ({ data }) =>
      data === true ? 'enabled' : data === false ? 'disabled' : null,
    );
    return { ...NOTHING, settings: { tokens, endpoint, hopLimit: SILENT, block: null } };
  }
  const attribute = attributeOf(block, module.input);
  if (attribute !== undefined) return fromMap(evaluate(attribute.value, scope), placeOf(attribute, scope));
  // Terraform refuses a block here, but public fixtures and real drafts write one.
  const written = blocksOf(block, module.input)[0];
  if (written === undefined) return NOTHING;
  const place = { path: scope.path, start: written.start, end: written.bodyStart };
  return {
    settings: {
      tokens: readAttribute(written, 'http_tokens', scope, parseTokens),
      endpoint: readAttribute(written, 'http_endpoint', scope, parseEndpoint),
      hopLimit: readAttribute(written, 'http_put_response_hop_limit', scope, parseHopLimit),
      block: place,
    },
    given: written.attributes.length === 0 ? 'empty' : 'partial',
    object: null,
    block: written,
  };
}

/** Reads a map of settings that was computed. */
function fromMap(value: Value, place: Place): Input {
  const { data, literal, steps } = value;
  if (data === null) return NOTHING;
  if (!isMap(data)) {
    const reason = isUnknown(data) ? data.reason : 'the value is no map';
    const tokens = { is: 'unknown', reason, place, steps } as const;
    return { ...NOTHING, settings: { ...NOTHING.settings, tokens, block: place }, given: 'partial' };
  }
  const read = <T>(name: string, parse: (inner: Value) => T | null) => {
    const inner = data.get(name);
    return inner === undefined ? SILENT : readValue(inner, inner.literal ?? place, parse);
  };
  return {
    settings: {
      tokens: read('http_tokens', parseTokens),
      endpoint: read('http_endpoint', parseEndpoint),
      hopLimit: read('http_put_response_hop_limit', parseHopLimit),
      block: place,
    },
    given: data.size === 0 ? 'empty' : 'partial',
    object: literal,
    block: null,
  };
}

/** Declares each node group of an EKS module. */
function declareGroups(call: Call, address: string): Declaration[] {
  const { module, placed, scope } = call;
  return module.groups.flatMap(({ input, defaults }) => {
    const attribute = attributeOf(placed.block, input);
    if (attribute === undefined) return [];
    const { data } = evaluate(attribute.value, scope);
    const place = placeOf(attribute, scope);
    if (isUnknown(data)) return [declareCall(call, `${address}.${input}`, unknownInput(data.reason, place))];
    if (!isMap(data)) return [];
    const shared = attributeOf(placed.block, defaults);
    const common = shared === undefined ? null : evaluate(shared.value, scope).data;
    return [...data].map(([key, group]) => {
      const name = `${address}.${input}["${key}"]`;
      if (isUnknown(group.data)) return declareCall(call, name, unknownInput(group.data.reason, place));
      const own = isMap(group.data) ? group.data.get('metadata_options') : undefined;
      const inherited = common !== null && isMap(common) ? common.get('metadata_options') : undefined;
      const options = own ?? inherited;
      if (options !== undefined) return declareCall(call, name, fromMap(options, options.literal ?? place));
      return declareCall(call, name, {
        ...NOTHING,
        object: null,
        settings: { ...NOTHING.settings, block: place },
      });
    });
  });
}

function unknownRelease({ module, constraint, defaults }: Call): DefaultSettings {
  return {
    tokens: 'unknown',
    hopLimit: null,
    subject: module.address,
    says: `its default depends on the release, and "${constraint}" does not name one`,
    source: defaults.source,
  };
}

function unknownInput(reason: string, place: Place): Input {
  const tokens = { is: 'unknown', reason, place, steps: [] } as const;
  return { ...NOTHING, settings: { ...NOTHING.settings, tokens } };
}

function declareCall(call: Call, address: string, input: Input): Declaration {
  const { instance, placed, module, defaults, version, textOf, instances } = call;
  const { block, path } = placed;
  const fallback: Tokens | 'aws' =
    input.given === 'none'
      ? defaults.silent
      : input.given === 'empty'
        ? (defaults.empty ?? defaults.partial)
        : defaults.partial;
  const name = module.isSwitch ? module.input : 'http_tokens';
  const required = module.isSwitch ? 'true' : '"required"';
  const isTemplate = module.role === 'template';
  const request = { path, textOf, tokens: input.settings.tokens, name, required, owner: block };
  return {
    kind: 'launcher',
    type: `module ${module.address}`,
    address,
    instances,
    path,
    whole: { path, start: block.start, end: block.end },
    head: headOf(placed),
    settings: input.settings,
    templates: [],
    names: [],
    image: { is: 'unknown', reason: 'the module chooses the image' },
    defaults:
      version === null
        ? unknownRelease(call)
        : fallback === 'aws'
          ? null
          : moduleDefault(module, defaults, version, fallback),
    region: instance.regionOf(placed),
    setting: name,
    effect: RESOURCE_KINDS[isTemplate ? 'aws_launch_template' : 'aws_instance']!.effect,
    elsewhere: isTemplate ? LAUNCH_TEMPLATE_IDS : INSTANCE_IDS,
    hosts: null,
    containers: null,
    caveat: null,
    repair: () => {
      if (module.isSwitch) return repairTokens({ ...request, settings: block, blockType: null });
      if (input.block !== null) return repairTokens({ ...request, settings: input.block, blockType: null });
      if (module.groups.length > 0 && input.object === null && input.given === 'none') return null;
      return repairMap({
        ...request,
        settings: null,
        blockType: null,
        argument: module.input,
        object: input.object,
      });
    },
  };
}
