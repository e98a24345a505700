/** Finds out whether the image of a Terraform resource asks for session tokens. */
import { evaluate, type Scope } from '../evaluate/expression.ts';
import { asText, isList, type Place, Reference } from '../evaluate/value.ts';
import { attributeOf, type Block, blocksOf } from '../hcl/tree.ts';
import type { ImageFact } from '../rules/declaration.ts';
import type { ModuleInstance } from './instance.ts';

const AL2023_SOURCE = 'https://docs.aws.amazon.com/linux/al2023/ug/imdsv2.html';

/** Reads the image that an attribute of a resource names. Only images in the same module are looked up. */
export function imageOf(block: Block, attribute: string, instance: ModuleInstance, scope: Scope): ImageFact {
  const written = attributeOf(block, attribute);
  if (written === undefined) return { is: 'silent' };
  const { data } = evaluate(written.value, scope);
  const place = { path: scope.path, start: written.start, end: written.end };
  if (!(data instanceof Reference)) {
    const text = asText(data);
    if (text?.startsWith('resolve:ssm:')) return fromName(text, place);
    return { is: 'unknown', reason: 'the image is named by its id' };
  }
  if (!data.address.startsWith(instance.prefix))
    return { is: 'unknown', reason: 'the image is in another module' };
  const local = data.address.slice(instance.prefix.length);
  const source = instance.module.data.get(local.replace(/^data\./, ''));
  if (local.startsWith('data.') && source !== undefined) {
    for (const text of namesIn(source.block, instance.scope(source.path))) {
      const fact = fromName(text, {
        path: source.path,
        start: source.block.start,
        end: source.block.bodyStart,
      });
      if (fact.is === 'v2.0') return fact;
    }
    return { is: 'unknown', reason: `${local} is looked up when Terraform runs` };
  }
  const resource = instance.module.resources.get(local);
  if (resource === undefined || resource.block.labels[0] !== 'aws_ami')
    return { is: 'unknown', reason: `${local} is made when Terraform runs` };
  const support = attributeOf(resource.block, 'imds_support');
  const value =
    support === undefined ? null : asText(evaluate(support.value, instance.scope(resource.path)).data);
  const at = {
    path: resource.path,
    start: support?.start ?? resource.block.start,
    end: support?.end ?? resource.block.bodyStart,
  };
  return value === 'v2.0'
    ? {
        is: 'v2.0',
        says: `${local} has ImdsSupport v2.0`,
        place: at,
        source: 'https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-IMDS-new-instances.html',
      }
    : { is: 'plain', says: `${local} has no ImdsSupport v2.0`, place: at };
}

/** Returns the texts by which a data source finds its image. */
function namesIn(block: Block, scope: Scope): string[] {
  const texts: string[] = [];
  const name = attributeOf(block, 'name');
  if (name !== undefined) texts.push(asText(evaluate(name.value, scope).data) ?? '');
  for (const filter of blocksOf(block, 'filter')) {
    const key = attributeOf(filter, 'name');
    const values = attributeOf(filter, 'values');
    if (key === undefined || values === undefined || asText(evaluate(key.value, scope).data) !== 'name')
      continue;
    const { data } = evaluate(values.value, scope);
    // All names must be of that kind: the newest of them is taken.
    if (isList(data) && data.every((value) => isAl2023(asText(value.data) ?? '')))
      texts.push(asText(data[0]?.data ?? null) ?? '');
  }
  return texts;
}

function isAl2023(name: string): boolean {
  return /(^|\/)al2023-ami-/.test(name);
}

/** Amazon Linux 2023 images have ImdsSupport v2.0. */
function fromName(name: string, place: Place): ImageFact {
  return isAl2023(name)
    ? { is: 'v2.0', says: 'is Amazon Linux 2023, which has ImdsSupport v2.0', place, source: AL2023_SOURCE }
    : { is: 'unknown', reason: 'the image is looked up by name' };
}
