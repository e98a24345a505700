/** Turns judgements into findings. Pure: files are needed for positions only. */
import type { Place, Step } from '../evaluate/value.ts';
import type { Evidence, Finding, HostSelector } from '../finding.ts';
import type { Level } from '../level.ts';
import type { SourceFile } from '../source_file.ts';
import { describeRule, type RuleId } from './catalogue.ts';
import type { Declaration } from './declaration.ts';
import { type Judgement, judge } from './judge.ts';

export type OpenFile = (path: string) => SourceFile | null;

/** Judges the declarations of one unit and returns its findings; equal ones of several instances once. */
export function findingsOf(declarations: readonly Declaration[], open: OpenFile): Finding[] {
  const drafts: Draft[] = [];
  for (const judgement of judge(declarations))
    drafts.push(...tokenDrafts(judgement), ...hopDrafts(judgement));
  return merge(withGroups(drafts, declarations)).flatMap((draft) => {
    const finding = toFinding(draft, open);
    return finding === null ? [] : [finding];
  });
}

interface Draft {
  judgement: Judgement;
  rule: RuleId;
  level: Level;
  place: Place;
  message: string;
  remedy: string;
  identity: string;
  isFixable: boolean;
  instances: number;
  hosts: HostSelector | null;
}

function tokenDrafts(judgement: Judgement): Draft[] {
  const { declaration, state, decidedBy } = judgement;
  const { tokens, block } = declaration.settings;
  const place = tokens.place ?? block ?? declaration.head;
  const draft = (rule: RuleId, message: string, remedy: string, isFixable: boolean): Draft => ({
    judgement,
    rule,
    level: describeRule(rule).level,
    place,
    message,
    remedy,
    identity: declaration.setting,
    isFixable,
    instances: declaration.instances,
    hosts: declaration.hosts,
  });
  if (declaration.kind === 'image') return imageDrafts(declaration, draft);
  if (declaration.kind === 'account_default') return accountDrafts(judgement, draft);
  // A template in the code has its own finding, at the place where the value must change.
  if (decidedBy === 'template' && state !== 'unknown') return caveatDrafts(judgement, draft);
  const set = `Set ${declaration.setting} so that tokens are required.`;
  switch (state) {
    case 'off':
      return [];
    case 'required':
      if (decidedBy === 'code') return caveatDrafts(judgement, draft);
      return [
        draft(
          'imdsv2-by-default',
          `${declaration.address} requires tokens, but only because of a default: ${lastSays(judgement)}.`,
          `${set} Then no other release and no other default can change it.`,
          false,
        ),
      ];
    case 'optional':
      return decidedBy === 'code'
        ? [
            draft(
              'imdsv1-allowed',
              `${declaration.address} lets the metadata service answer IMDSv1.`,
              set,
              true,
            ),
          ]
        : [
            draft(
              'imdsv1-allowed-by-default',
              `${declaration.address} says nothing about ${declaration.setting}, so the default applies: ${lastSays(judgement)}.`,
              set,
              true,
            ),
          ];
    case 'unknown':
      return judgement.chain.length > 1 && decidedBy === 'template' ? [] : [unknownDraft(judgement, draft)];
  }
}

type MakeDraft = (rule: RuleId, message: string, remedy: string, isFixable: boolean) => Draft;

function unknownDraft({ declaration, reason }: Judgement, draft: MakeDraft): Draft {
  const made = draft(
    'imdsv1-unknown',
    `It is unknown whether ${declaration.address} allows IMDSv1: ${reason ?? 'no reason is known'}.`,
    'Give the value in the code, or name the variable file with --var-file.',
    false,
  );
  const link = declaration.templates.find(({ is }) => is === 'outside');
  return link === undefined ? made : { ...made, place: link.place };
}

function caveatDrafts({ declaration, state }: Judgement, draft: MakeDraft): Draft[] {
  if (declaration.caveat === null || state !== 'required') return [];
  const made = draft('imdsv1-unknown', declaration.caveat.text, 'Compare with the running instance.', false);
  return [{ ...made, level: 'note', identity: 'caveat' }];
}

function imageDrafts({ image, address }: Declaration, draft: MakeDraft): Draft[] {
  if (image.is !== 'plain') return [];
  return [
    draft(
      'image-allows-imdsv1',
      `${address} does not say ImdsSupport v2.0, so instances of this image allow IMDSv1 unless something else decides.`,
      'Set imds_support to "v2.0" when all software of the image uses tokens. It cannot be undone for an image.',
      false,
    ),
  ];
}

function accountDrafts({ declaration }: Judgement, draft: MakeDraft): Draft[] {
  const { tokens } = declaration.settings;
  if (tokens.is === 'said' && tokens.value === 'required') return [];
  if (tokens.is === 'unknown') {
    return [
      draft(
        'imdsv1-unknown',
        `It is unknown whether ${declaration.address} requires tokens: ${tokens.reason}.`,
        'Give the value in the code, or name the variable file with --var-file.',
        false,
      ),
    ];
  }
  const isOptional = tokens.is === 'said' && tokens.value === 'optional';
  const made = draft(
    'account-default-allows-imdsv1',
    isOptional
      ? `${declaration.address} makes IMDSv1 the default for new instances, also for images that ask for tokens.`
      : `${declaration.address} has no preference, so new instances follow their image.`,
    'Set http_tokens to "required".',
    true,
  );
  return [isOptional ? made : { ...made, level: 'note' }];
}

function lastSays({ chain }: Judgement): string {
  const last = chain.at(-1);
  return last === undefined ? 'it is not known' : `${last.subject} ${last.says}`;
}

/** Reports a hop limit only where the code itself gives a reason. */
function hopDrafts(judgement: Judgement): Draft[] {
  const { declaration, hopLimit, state } = judgement;
  const { containers, settings } = declaration;
  if (settings.hopLimit.is !== 'said' || hopLimit === null || state === 'off') return [];
  const make = (rule: RuleId, message: string, remedy: string): Draft => ({
    judgement,
    rule,
    level: rule === 'hop-limit-too-low' ? 'warning' : 'note',
    place: settings.hopLimit.place!,
    message,
    remedy,
    identity: 'hop limit',
    isFixable: false,
    instances: declaration.instances,
    hosts: null,
  });
  if (containers?.found === true && hopLimit < containers.hops) {
    return [
      make(
        'hop-limit-too-low',
        `The hop limit of ${declaration.address} is ${hopLimit}, and ${containers.because}. Answers to token requests need ${containers.hops} hops to reach containers, 3 behind an overlay network.`,
        `Set the hop limit to ${containers.hops}, or keep ${hopLimit} where containers must not reach the metadata service.`,
      ),
    ];
  }
  if (hopLimit > MAX_NEEDED_HOPS) {
    return [
      make(
        'hop-limit-too-high',
        `The hop limit of ${declaration.address} is ${hopLimit}. Containers behind a bridge need 2 hops, those behind an overlay network 3.`,
        'Set the hop limit to the number of hops that your containers need.',
      ),
    ];
  }
  if (containers?.found === false && hopLimit > containers.hops) {
    return [
      make(
        'hop-limit-too-high',
        `The hop limit of ${declaration.address} is ${hopLimit}, but ${containers.because}, and processes of the host need 1.`,
        'Set the hop limit to 1, unless the image starts containers by itself.',
      ),
    ];
  }
  return [];
}

/** No known network needs more. */
const MAX_NEEDED_HOPS = 3;

/** Adds to the finding of a template which groups use it, with their hosts. */
function withGroups(drafts: readonly Draft[], declarations: readonly Declaration[]): Draft[] {
  const users = new Map<string, Declaration[]>();
  for (const declaration of declarations) {
    for (const link of declaration.templates) {
      if (link.is !== 'in_code') continue;
      const list = users.get(link.address);
      if (list === undefined) users.set(link.address, [declaration]);
      else list.push(declaration);
    }
  }
  return drafts.map((draft) => {
    const { declaration } = draft.judgement;
    const using = [declaration.address, ...declaration.names].flatMap((name) => users.get(name) ?? []);
    if (using.length === 0) return draft;
    const chain: Step[] = using
      .slice(0, 8)
      .map(({ address, head }) => ({ subject: address, says: 'uses it', place: head }));
    const judgement = { ...draft.judgement, chain: [...draft.judgement.chain, ...chain] };
    const hosts = using.reduce<HostSelector | null>(
      (all, { hosts: more }) => joinHosts(all, more),
      draft.hosts,
    );
    return { ...draft, judgement, hosts };
  });
}

function joinHosts(one: HostSelector | null, other: HostSelector | null): HostSelector | null {
  if (one === null || other === null) return one ?? other;
  return {
    instanceIds: [...one.instanceIds, ...other.instanceIds],
    autoScalingGroups: [...one.autoScalingGroups, ...other.autoScalingGroups],
    launchTemplateIds: [...one.launchTemplateIds, ...other.launchTemplateIds],
    tags: { ...one.tags, ...other.tags },
  };
}

/** Several instances of one block give one finding for each reason. */
function merge(drafts: readonly Draft[]): Draft[] {
  const kept = new Map<string, Draft>();
  for (const draft of drafts) {
    const { declaration, state } = draft.judgement;
    const { path, start } = draft.place;
    const key = JSON.stringify([
      draft.rule,
      path,
      start,
      declaration.address,
      draft.identity,
      state,
      draft.message,
    ]);
    const known = kept.get(key);
    if (known === undefined) kept.set(key, draft);
    else known.hosts = joinHosts(known.hosts, draft.hosts);
  }
  return [...kept.values()];
}

function toFinding(draft: Draft, open: OpenFile): Finding | null {
  const { judgement, rule, level, place, message, remedy, identity } = draft;
  const { declaration } = judgement;
  const file = open(place.path);
  if (file === null) return null;
  const isOwn = place.path === declaration.whole.path;
  const scope = isOwn ? declaration.whole : place;
  const fix = draft.isFixable ? declaration.repair() : null;
  const { settings } = declaration;
  return {
    rule,
    level,
    path: place.path,
    range: file.range(place.start, place.end),
    scope: file.range(Math.min(scope.start, place.start), Math.max(scope.end, place.end)),
    subject: declaration.address,
    message,
    value: {
      tokens: judgement.state,
      ...(settings.endpoint.is === 'said' ? { endpoint: settings.endpoint.value } : {}),
      hopLimit: judgement.hopLimit,
      ...(judgement.reason === null ? {} : { reason: judgement.reason }),
    },
    evidence: judgement.chain.map((step) => evidenceOf(step, open)),
    remedy,
    ...(fix === null ? {} : { fix }),
    elsewhere: elsewhereOf(rule, declaration),
    effect: declaration.effect,
    identity,
    ...(draft.hosts === null ? {} : { hosts: draft.hosts }),
  };
}

function elsewhereOf(rule: RuleId, { elsewhere }: Declaration): readonly string[] {
  return rule.startsWith('hop-limit') || rule.startsWith('image') ? describeRule(rule).elsewhere : elsewhere;
}

function evidenceOf({ subject, says, place, source }: Step, open: OpenFile): Evidence {
  const file = place === null ? null : open(place.path);
  return {
    subject,
    says,
    ...(place === null || file === null
      ? {}
      : { path: place.path, range: file.range(place.start, place.end) }),
    ...(source === undefined || source === '' ? {} : { source }),
  };
}
