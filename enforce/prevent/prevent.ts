/**
 * Prints what keeps IMDSv1 from coming back. It changes nothing. Every text begins with what the change breaks, and how it
 * is opened again. Sources: EC2 user guide, "Example policies: work with instance metadata"; Organizations user guide,
 * "Declarative policy syntax and examples"; AWS Config, "List of managed rules". Pure.
 */

export const PREVENTIONS = [
  'scp',
  'declarative-policy',
  'config-rules',
  'account-default',
  'iam-policy',
] as const;
export type Prevention = (typeof PREVENTIONS)[number];

/** Returns whether nothing can be set back to optional while it is in force. */
export function closesWayBack(kind: Prevention): boolean {
  return kind !== 'config-rules';
}

export interface PreventOptions {
  /** Largest hop limit to allow, 1 to 64. */
  hopLimit: number;
  /** ARN pattern of the role that may still change the account's defaults. */
  adminRole: string;
}

export interface PreventText {
  /** Sentences to read first. */
  warnings: string[];
  /** The document or the commands. */
  text: string;
}

const LAUNCHERS =
  'It breaks every tool that launches instances without asking for tokens. List them first: build tools such as Packer, CI runners, cluster autoscalers.';

export function prevent(kind: Prevention, options: PreventOptions): PreventText {
  switch (kind) {
    case 'scp':
      return {
        warnings: [
          LAUNCHERS,
          'While it is attached nobody in its accounts can go back to optional: rollbacks of imdswatch are refused, too.',
          'To open the way back, the administrators of the organisation detach it.',
        ],
        text: json(statements([...launchStatements(options), ...backStatements(options)])),
      };
    case 'iam-policy':
      return {
        warnings: [
          'The last statement makes credentials that were fetched by IMDSv1 worthless. Attach it only when no call without a token is left.',
          'Calls of callers that are not EC2 roles are not affected.',
          'To open the way back, detach it from the roles.',
        ],
        text: json(statements([...backStatements(options), useStatement()])),
      };
    case 'declarative-policy':
      return {
        warnings: [
          'An account cannot override it. Only the administrators of the organisation can take it back.',
          'With http_tokens_enforced, launches that ask for optional fail, and no instance can be set back to optional.',
          LAUNCHERS,
          'That this policy has the key http_tokens_enforced is known from public write-ups, and was not tried.',
        ],
        text: json({
          ec2_attributes: {
            instance_metadata_defaults: {
              http_tokens: assign('required'),
              http_put_response_hop_limit: assign(String(options.hopLimit)),
              http_endpoint: assign('enabled'),
              instance_metadata_tags: assign('no_preference'),
              http_tokens_enforced: assign('enabled'),
            },
            exception_message: assign('IMDSv2 is required here. Ask your cloud team for an exception.'),
          },
        }),
      };
    case 'config-rules':
      return {
        warnings: [
          'These rules only report. ec2-launch-template-imdsv2-check looks at the default version alone.',
          `ec2-token-hop-limit-check is given the limit ${options.hopLimit}. Rules that want 1 contradict containers, which need more.`,
        ],
        text: configRules(options),
      };
    case 'account-default':
      return {
        warnings: [
          'It changes no running instance, and no template or tool that says optional.',
          'A default of tokens can be undone with no-preference. With enforcement, launches that ask for optional fail and nothing can be set back to optional, until it is disabled again.',
        ],
        text: [
          'aws ec2 modify-instance-metadata-defaults --region REGION --http-tokens required',
          '# Last, when the whole account has been quiet for a window:',
          'aws ec2 modify-instance-metadata-defaults --region REGION --http-tokens-enforced enabled',
          '# The way back:',
          'aws ec2 modify-instance-metadata-defaults --region REGION --http-tokens-enforced disabled --http-tokens no-preference',
          '',
        ].join('\n'),
      };
  }
}

function launchStatements({ hopLimit }: PreventOptions) {
  const launch = { Effect: 'Deny', Action: 'ec2:RunInstances', Resource: 'arn:aws:ec2:*:*:instance/*' };
  return [
    {
      Sid: 'RequireImdsV2AtLaunch',
      ...launch,
      Condition: { StringNotEquals: { 'ec2:MetadataHttpTokens': 'required' } },
    },
    {
      Sid: 'LimitHopsAtLaunch',
      ...launch,
      Condition: { NumericGreaterThan: { 'ec2:MetadataHttpPutResponseHopLimit': String(hopLimit) } },
    },
  ];
}

function backStatements({ adminRole }: PreventOptions) {
  return [
    {
      Sid: 'NoWayBackToImdsV1',
      Effect: 'Deny',
      Action: 'ec2:ModifyInstanceMetadataOptions',
      Resource: '*',
      // Without the test for Null, calls that leave the field out would be denied, too.
      Condition: {
        StringNotEquals: { 'ec2:Attribute/HttpTokens': 'required' },
        Null: { 'ec2:Attribute/HttpTokens': 'false' },
      },
    },
    {
      Sid: 'DefaultsForAdministrators',
      Effect: 'Deny',
      Action: 'ec2:ModifyInstanceMetadataDefaults',
      Resource: '*',
      Condition: { ArnNotLike: { 'aws:PrincipalArn': adminRole } },
    },
  ];
}

function useStatement() {
  return {
    Sid: 'CredentialsOfImdsV2Only',
    Effect: 'Deny',
    Action: '*',
    Resource: '*',
    Condition: { NumericLessThan: { 'ec2:RoleDelivery': '2.0' } },
  };
}

function configRules({ hopLimit }: PreventOptions): string {
  const rules = [
    ['EC2_IMDSV2_CHECK', ''],
    ['EC2_LAUNCH_TEMPLATE_IMDSV2_CHECK', ''],
    ['AUTOSCALING_LAUNCHCONFIG_REQUIRES_IMDSV2', ''],
    ['EC2_TOKEN_HOP_LIMIT_CHECK', `,"InputParameters":"{\\"tokenHopLimit\\":\\"${hopLimit}\\"}"`],
  ] as const;
  return rules
    .map(([identifier, parameters]) => {
      const name = identifier.toLowerCase().replaceAll('_', '-');
      const rule = `{"ConfigRuleName":"${name}","Source":{"Owner":"AWS","SourceIdentifier":"${identifier}"}${parameters}}`;
      return `aws configservice put-config-rule --region REGION --config-rule '${rule}'\n`;
    })
    .join('');
}

function statements(list: readonly object[]) {
  return { Version: '2012-10-17', Statement: list };
}

function assign(value: string) {
  return { '@@assign': value };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
