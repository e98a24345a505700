/** Terraform resources whose settings stand in a document or in a list of options. */
import { evaluate } from '../evaluate/expression.ts';
import { fromJson } from '../evaluate/json_value.ts';
import { asText, isMap, isUnknown, type Value } from '../evaluate/value.ts';
import { attributeOf } from '../hcl/tree.ts';
import type { Declaration, DefaultSettings, Said, Settings, Tokens } from '../rules/declaration.ts';
import { SILENT } from '../rules/declaration.ts';
import { parseDisablesV1, parseHopLimit, parseMinimumVersion } from '../rules/parse_settings.ts';
import { headOf } from './instance.ts';
import { nestedBlocks, placeOf, readAttribute, readValue } from './nested.ts';
import { repairTokens } from './repair.ts';
import type { ResourceInstance } from './resource_instance.ts';

/** Declares an EMR security configuration or an Elastic Beanstalk environment. */
export function declareSpecial(resource: ResourceInstance, type: string): Declaration[] {
  return [
    type === 'aws_emr_security_configuration' ? declareEmr(resource, type) : declareBeanstalk(resource, type),
  ];
}

function baseOf({ instance, placed, address, instances }: ResourceInstance, type: string) {
  const { block, path } = placed;
  return {
    kind: 'launcher' as const,
    type,
    address,
    instances,
    path,
    whole: { path, start: block.start, end: block.end },
    head: headOf(placed),
    templates: [],
    names: [],
    image: { is: 'silent' } as const,
    region: instance.regionOf(placed),
    elsewhere: [],
    hosts: null,
    containers: null,
    caveat: null,
  };
}

const EMR_SOURCE =
  'https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-create-security-configuration.html';

function declareEmr(resource: ResourceInstance, type: string): Declaration {
  const { placed, expanded, textOf } = resource;
  const { block, path } = placed;
  const attribute = attributeOf(block, 'configuration');
  const none: Settings = { tokens: SILENT, endpoint: SILENT, hopLimit: SILENT, block: null };
  let settings = none;
  if (attribute !== undefined) {
    const place = placeOf(attribute, expanded.scope);
    const { value } = attribute;
    // The argument of jsonencode keeps the places of its literals.
    const document =
      value.kind === 'call' && value.name === 'jsonencode' && value.args[0] !== undefined
        ? evaluate(value.args[0], expanded.scope)
        : parsed(evaluate(value, expanded.scope));
    const part = isMap(document.data) ? document.data.get('InstanceMetadataServiceConfiguration') : undefined;
    if (isUnknown(document.data)) {
      const tokens = { is: 'unknown', reason: document.data.reason, place, steps: document.steps } as const;
      settings = { ...none, tokens, block: place };
    } else if (part !== undefined) {
      const read = <T>(name: string, parse: (inner: Value) => T | null): Said<T> => {
        const inner = isMap(part.data) ? part.data.get(name) : undefined;
        return inner === undefined ? SILENT : readValue(inner, inner.literal ?? place, parse);
      };
      settings = {
        tokens: read('MinimumInstanceMetadataServiceVersion', parseMinimumVersion),
        endpoint: SILENT,
        hopLimit: read('HttpPutResponseHopLimit', parseHopLimit),
        block: part.literal ?? place,
      };
    }
  }
  const defaults: DefaultSettings = {
    tokens: 'optional',
    hopLimit: null,
    subject: 'Amazon EMR default',
    says: 'allows IMDSv1 and IMDSv2 on cluster nodes',
    source: EMR_SOURCE,
  };
  return {
    ...baseOf(resource, type),
    settings,
    defaults,
    setting: 'MinimumInstanceMetadataServiceVersion',
    effect: {
      how: 'replaces',
      text: 'Security configurations cannot be changed: Terraform replaces it. Running clusters keep their setting.',
      source: EMR_SOURCE,
    },
    repair: () =>
      settings.tokens.is === 'said' && settings.tokens.literal !== null
        ? repairTokens({
            path,
            textOf,
            tokens: settings.tokens,
            name: 'MinimumInstanceMetadataServiceVersion',
            required: '2',
            settings: null,
            owner: block,
            blockType: null,
          })
        : null,
  };
}

function parsed(value: Value): Value {
  const text = asText(value.data);
  if (text === null) return value;
  try {
    return fromJson(JSON.parse(text));
  } catch {
    return { ...value, data: fromJson(null).data };
  }
}

const BEANSTALK_SOURCE =
  'https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/environments-cfg-ec2-imds.html';
const NAMESPACE = 'aws:autoscaling:launchconfiguration';

function declareBeanstalk(resource: ResourceInstance, type: string): Declaration {
  const { placed, expanded, textOf } = resource;
  const { block, path } = placed;
  const { scope } = expanded;
  const settings: Settings = { tokens: SILENT, endpoint: SILENT, hopLimit: SILENT, block: null };
  const answer = nestedBlocks(block, 'setting', scope);
  if (answer.is === 'unknown')
    settings.tokens = { is: 'unknown', reason: answer.reason, place: answer.place, steps: [] };
  let holder = null;
  for (const nested of answer.is === 'present' ? answer.nested : []) {
    const textAt = (name: string) => {
      const attribute = attributeOf(nested.block, name);
      return attribute === undefined ? null : asText(evaluate(attribute.value, nested.scope).data);
    };
    if (textAt('namespace') !== NAMESPACE || textAt('name') !== 'DisableIMDSv1') continue;
    holder = nested.block;
    settings.tokens = readAttribute(nested.block, 'value', nested.scope, parseDisablesV1);
    settings.block = { path: nested.scope.path, start: nested.block.start, end: nested.block.bodyStart };
  }
  return {
    ...baseOf(resource, type),
    settings,
    defaults: beanstalkDefault(resource),
    setting: 'DisableIMDSv1',
    effect: {
      how: 'replaces',
      text: 'Elastic Beanstalk updates the environment and replaces its instances by its update policy.',
      source: BEANSTALK_SOURCE,
    },
    repair: () =>
      holder === null
        ? null
        : repairTokens({
            path,
            textOf,
            tokens: settings.tokens,
            name: 'value',
            required: '"true"',
            settings: holder,
            owner: block,
            blockType: null,
          }),
  };
}

/** Platforms on Amazon Linux 2023 disable IMDSv1 by default, older ones do not. */
function beanstalkDefault({ placed, expanded }: ResourceInstance): DefaultSettings {
  const stack = attributeOf(placed.block, 'solution_stack_name');
  const name = stack === undefined ? null : asText(evaluate(stack.value, expanded.scope).data);
  const tokens: Tokens | 'unknown' =
    name === null
      ? 'unknown'
      : /Amazon Linux 2023/.test(name)
        ? 'required'
        : /Amazon Linux 2\b|Windows/.test(name)
          ? 'optional'
          : 'unknown';
  const says =
    tokens === 'unknown'
      ? 'the default of DisableIMDSv1 depends on the platform, which the code does not name'
      : `has the default DisableIMDSv1 = ${tokens === 'required'}`;
  return {
    tokens,
    hopLimit: null,
    subject: name ?? 'Elastic Beanstalk default',
    says,
    source: BEANSTALK_SOURCE,
  };
}
