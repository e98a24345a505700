/**
 * Computes the effective value of each declaration: launch parameters over launch template over account default
 * over image (EC2 user guide, "Order of precedence for instance metadata options"). Pure.
 */
import type { Step } from '../evaluate/value.ts';
import type { TokenState } from '../finding.ts';
import type { Declaration, DefaultSettings } from './declaration.ts';

export interface Judgement {
  declaration: Declaration;
  state: TokenState;
  /** `code`: the declaration itself says it. `template`: a template in the code. `default`: nobody says it. */
  decidedBy: 'code' | 'template' | 'account' | 'image' | 'default';
  /** Clause that says why the state is unknown. */
  reason: string | null;
  chain: Step[];
  hopLimit: number | null;
}

export const PRECEDENCE_SOURCE =
  'https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-options-order-of-precedence.html';

/** Applies where nothing in the code decides. */
const AWS_DEFAULT: DefaultSettings = {
  tokens: 'optional',
  hopLimit: 1,
  subject: 'AWS default',
  says: 'is "optional" unless the image has ImdsSupport v2.0 or the account default requires tokens',
  source: PRECEDENCE_SOURCE,
};

/** Judges all declarations of one unit. */
export function judge(declarations: readonly Declaration[]): Judgement[] {
  const templates = new Map<string, Declaration>();
  for (const declaration of declarations) {
    if (declaration.kind !== 'launcher') continue;
    for (const name of [declaration.address, ...declaration.names]) templates.set(name, declaration);
  }
  const accounts = new Map<string, Declaration>();
  for (const declaration of declarations)
    if (declaration.kind === 'account_default') accounts.set(declaration.region, declaration);
  return declarations.map((declaration) => judgeOne(declaration, templates, accounts, 0));
}

const MAX_TEMPLATES = 8;

function judgeOne(
  declaration: Declaration,
  templates: ReadonlyMap<string, Declaration>,
  accounts: ReadonlyMap<string, Declaration>,
  depth: number,
): Judgement {
  const { settings } = declaration;
  const inherited = declaration.templates
    .slice(0, MAX_TEMPLATES)
    .map((link): Judgement => {
      const template = link.is === 'in_code' ? templates.get(link.address) : undefined;
      if (template === undefined || template === declaration || depth >= MAX_TEMPLATES) {
        const reason = link.is === 'outside' ? link.reason : `${link.address} is not in the scanned code`;
        return settle(declaration, 'unknown', 'code', reason, [
          { subject: declaration.address, says: 'takes its settings from a template', place: link.place },
        ]);
      }
      const judged = judgeOne(template, templates, accounts, depth + 1);
      const step = { subject: declaration.address, says: `uses ${template.address}`, place: link.place };
      return { ...judged, declaration, chain: [step, ...judged.chain], decidedBy: 'template' };
    })
    .sort((one, other) => SEVERITY.indexOf(one.state) - SEVERITY.indexOf(other.state));
  const template = inherited[0];

  const own = ownState(declaration);
  if (own !== null) {
    const endpoint = settings.endpoint;
    // The template can still turn the endpoint off, where this declaration does not speak of it.
    if (own.state !== 'off' && endpoint.is === 'silent' && template?.state === 'off') return template;
    return own;
  }
  if (template !== undefined) return withOwnHop(template, settings);
  if (declaration.kind === 'group') {
    const reason =
      declaration.type === 'aws_eks_node_group'
        ? 'Amazon EKS makes the launch template by itself, since the code names none'
        : 'the code names no launch template';
    return settle(declaration, 'unknown', 'code', reason, []);
  }
  return byDefault(declaration, accounts);
}

/** Worst first. */
const SEVERITY: readonly TokenState[] = ['optional', 'unknown', 'required', 'off'];

/** Returns the state that the declaration itself decides; null where it is silent. */
function ownState(declaration: Declaration): Judgement | null {
  const { tokens, endpoint } = declaration.settings;
  if (endpoint.is === 'said' && endpoint.value === 'disabled') {
    const step = { subject: declaration.address, says: 'disables the endpoint', place: endpoint.place };
    return settle(declaration, 'off', 'code', null, [step, ...endpoint.steps]);
  }
  if (tokens.is === 'unknown') {
    const step = {
      subject: declaration.address,
      says: `sets ${declaration.setting} to a value that is not known`,
      place: tokens.place,
    };
    return settle(declaration, 'unknown', 'code', tokens.reason, [step, ...tokens.steps]);
  }
  if (tokens.is === 'silent' || tokens.value === 'no-preference') return null;
  const step = {
    subject: declaration.address,
    says: `sets ${declaration.setting} to ${tokens.value === 'required' ? 'require tokens' : 'allow IMDSv1'}`,
    place: tokens.place,
  };
  if (tokens.value === 'optional' && endpoint.is === 'unknown')
    return settle(declaration, 'unknown', 'code', `whether the endpoint is enabled: ${endpoint.reason}`, [
      step,
      ...tokens.steps,
      ...endpoint.steps,
    ]);
  return settle(declaration, tokens.value, 'code', null, [step, ...tokens.steps]);
}

/** Returns the state of a declaration that says nothing: its own default, the account's, the image's, AWS's. */
function byDefault(declaration: Declaration, accounts: ReadonlyMap<string, Declaration>): Judgement {
  const silent = {
    subject: declaration.address,
    says: `says nothing about ${declaration.setting}`,
    place: declaration.settings.block ?? declaration.head,
  };
  const defaults = declaration.defaults;
  if (defaults !== null && defaults.tokens !== 'no-preference') {
    const step = { subject: defaults.subject, says: defaults.says, place: null, source: defaults.source };
    const state = defaults.tokens;
    const reason = state === 'unknown' ? defaults.says : null;
    return {
      ...settle(declaration, state, 'default', reason, [silent, step]),
      hopLimit: hopOf(declaration, defaults),
    };
  }
  const account = accounts.get(declaration.region);
  const accountTokens = account?.settings.tokens;
  if (account !== undefined && accountTokens !== undefined) {
    const place = accountTokens.place ?? account.head;
    const chain = (says: string) => [silent, { subject: account.address, says, place }];
    if (accountTokens.is === 'unknown')
      return settle(
        declaration,
        'unknown',
        'account',
        `the account default: ${accountTokens.reason}`,
        chain('is not known'),
      );
    if (accountTokens.is === 'said' && accountTokens.value !== 'no-preference')
      return settle(
        declaration,
        accountTokens.value,
        'account',
        null,
        chain(`sets the account default "${accountTokens.value}"`),
      );
  }
  const { image } = declaration;
  if (image.is === 'v2.0') {
    const step = { subject: 'image', says: image.says, place: image.place, source: image.source };
    return { ...settle(declaration, 'required', 'image', null, [silent, step]), hopLimit: 2 };
  }
  const step = {
    subject: AWS_DEFAULT.subject,
    says: AWS_DEFAULT.says,
    place: null,
    source: AWS_DEFAULT.source,
  };
  const known = image.is === 'plain' ? [{ subject: 'image', says: image.says, place: image.place }] : [];
  return settle(declaration, 'optional', 'default', null, [silent, ...known, step]);
}

function settle(
  declaration: Declaration,
  state: TokenState,
  decidedBy: Judgement['decidedBy'],
  reason: string | null,
  chain: Step[],
): Judgement {
  const { hopLimit } = declaration.settings;
  return {
    declaration,
    state,
    decidedBy,
    reason,
    chain,
    hopLimit: hopLimit.is === 'said' ? hopLimit.value : null,
  };
}

function hopOf({ settings }: Declaration, defaults: DefaultSettings): number | null {
  return settings.hopLimit.is === 'said' ? settings.hopLimit.value : defaults.hopLimit;
}

function withOwnHop(judgement: Judgement, { hopLimit }: Declaration['settings']): Judgement {
  return hopLimit.is === 'said' ? { ...judgement, hopLimit: hopLimit.value } : judgement;
}
