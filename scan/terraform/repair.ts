/** Makes the smallest edit that makes tokens required in Terraform code. Pure. */
import { alignedAttribute, insertIntoBlock, insertIntoObject } from '../edits/hcl_edits.ts';
import { insertIntoJsonObject } from '../edits/json_edits.ts';
import type { Edit, Fix } from '../finding.ts';
import { attributeOf, type Block, blocksOf } from '../hcl/tree.ts';
import type { Said, Tokens } from '../rules/declaration.ts';

export interface RepairRequest {
  path: string;
  /** Text of a file; null when it is not in the scanned code. */
  textOf(path: string): string | null;
  tokens: Said<Tokens>;
  /** Name and HCL text: `http_tokens`, `"required"`. */
  name: string;
  required: string;
  /** The block that is written in the code and lacks the attribute; null when there is none. */
  settings: Block | null;
  /** Resource or module call that a missing block is added to. */
  owner: Block;
  /** Type of the block that is missing; null where the owner itself takes the attribute. */
  blockType: string | null;
}

/** Returns null where the value is unknown or the code that decides is not in the scan. */
export function repairTokens(request: RepairRequest): Fix | null {
  const { tokens, name, required, path } = request;
  const summary = `Set ${name} to ${required}.`;
  if (tokens.is === 'unknown') return null;
  const isShared = tokens.steps.some((step) => step.isShared?.() === true);
  if (tokens.literal !== null && !isShared) return replaceLiteral(request, summary);
  if (tokens.place !== null) {
    const holder = request.settings ?? request.owner;
    const written = attributeOf(holder, name);
    // Computed, or shared with something else: only the attribute itself can be replaced with certainty.
    if (written === undefined || tokens.place.start !== written.start || tokens.place.path !== path)
      return null;
    return { summary, edits: [{ path, start: written.value.start, end: written.value.end, text: required }] };
  }
  const text = request.textOf(path);
  if (text === null) return null;
  const edits =
    request.settings === null ? addBlock(request, text) : addAttribute(request.settings, request, text);
  return edits.length === 0 ? null : { summary, edits };
}

function replaceLiteral({ tokens, required, textOf }: RepairRequest, summary: string): Fix | null {
  if (tokens.is === 'unknown' || tokens.literal === null) return null;
  const { path, start, end } = tokens.literal;
  const text = textOf(path)?.slice(start, end);
  // Heredocs and templates are no simple literals.
  if (text === undefined || !/^("[^"\n]*"|-?[\w.]+)$/.test(text)) return null;
  const isSelf = text === required;
  return isSelf ? null : { summary, edits: [{ path, start, end, text: required }] };
}

function addAttribute(block: Block, { path, name, required }: RepairRequest, text: string): Edit[] {
  if (block.syntax === 'json') return addJson(path, text, block, `"${name}": ${required}`);
  return insertIntoBlock(path, text, block, [alignedAttribute(text, block, name, required)], false);
}

function addBlock(request: RepairRequest, text: string): Edit[] {
  const { path, name, required, owner, blockType } = request;
  // A dynamic block that makes nothing now would stand beside the new one later, which Terraform refuses.
  if (blocksOf(owner, 'dynamic').some(({ labels }) => labels[0] === blockType)) return [];
  if (blockType === null) return addAttribute(owner, request, text);
  if (owner.syntax === 'json')
    return addJson(path, text, owner, `"${blockType}": { "${name}": ${required} }`);
  return insertIntoBlock(path, text, owner, [`${blockType} {`, `\t${name} = ${required}`, '}'], true);
}

function addJson(path: string, text: string, block: Block, member: string): Edit[] {
  const ends = [...block.attributes, ...block.blocks].map(({ end }) => end);
  const last = ends.length === 0 ? null : lastMemberEnd(text, block.bodyEnd);
  return insertIntoJsonObject(path, text, block.bodyStart, block.bodyEnd, last, member);
}

function lastMemberEnd(text: string, bodyEnd: number): number {
  return text.slice(0, bodyEnd).trimEnd().length;
}

/** Adds an entry to an object expression of a module call, or the argument with the object. */
export function repairMap(
  request: RepairRequest & { argument: string; object: { path: string; start: number; end: number } | null },
): Fix | null {
  const { tokens, name, required, path, owner, argument, object, textOf } = request;
  const summary = `Set ${name} to ${required}.`;
  if (tokens.is === 'unknown') return null;
  const isShared = tokens.steps.some((step) => step.isShared?.() === true);
  if (tokens.literal !== null) return isShared ? null : replaceLiteral(request, summary);
  if (tokens.place !== null) return null;
  if (object !== null) {
    const text = textOf(object.path);
    if (text === null) return null;
    const edits = insertIntoObject(object.path, text, object.start, object.end, `${name} = ${required}`);
    return edits.length === 0 || object.path.endsWith('.json') ? null : { summary, edits };
  }
  const text = textOf(path);
  if (text === null || attributeOf(owner, argument) !== undefined) return null;
  if (owner.syntax === 'json') {
    return { summary, edits: addJson(path, text, owner, `"${argument}": { "${name}": ${required} }`) };
  }
  return {
    summary,
    edits: insertIntoBlock(path, text, owner, [`${argument} = {`, `\t${name} = ${required}`, '}'], true),
  };
}
