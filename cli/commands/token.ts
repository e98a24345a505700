/**
 * `imdswatch token` manages access to the collector. It works on the collector's files, also while it runs.
 */
import * as z from 'zod';
import { newToken, role, type Token, tokenKind } from '../../collector/contract/administration.ts';
import { type Sight, scopeOfConditions } from '../../collector/contract/host_scope.ts';
import { scopeText } from '../../collector/contract/host_scope_text.ts';
import { type LocalAdmin, type StorePlace, signInLink, withAdmin } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { createLogger } from '../log.ts';
import { storeShape } from '../settings/local_collector.ts';
import { readSubcommand } from '../settings/subcommand.ts';
import { tokenTable } from '../terminal/token_table.ts';
import { visibleJson, visibleText } from '../terminal/visible_text.ts';

const json = z.boolean().default(false).describe('Print JSON.');

const scopeShape = {
  account: z
    .array(z.string().min(1))
    .default([])
    .describe('Accounts whose hosts a viewer may see, separated by commas. Default: all.'),
  tag: z
    .array(z.string().regex(/^[^:]+:/, 'must be KEY:VALUE, such as team:payments'))
    .default([])
    .describe(
      'Tags of the hosts that a viewer may see: KEY:VALUE, separated by commas. Values of one key are alternatives; keys, and accounts, must all match. Default: all.',
    ),
};

const createSettings = z.object({
  kind: tokenKind.describe(
    'person: signs in and uses the API. enrolment: lets new agents enrol; each then gets its own credential. agent: a credential for one host.',
  ),
  role: role
    .optional()
    .describe(
      'Role of a person. viewer: sees findings. auditor: also reads the audit log. admin: also manages tokens, alerts and retention.',
    ),
  name: newToken.shape.name
    .optional()
    .describe('Name of the owner, for the audit log. Required for a person.'),
  host_id: newToken.shape.host_id.describe(
    'Host id of the agent that uses this token. Only for the kind agent.',
  ),
  expires_days: newToken.shape.expires_days.describe(
    'Days until the token expires. Default: it never expires.',
  ),
  ...scopeShape,
  ...storeShape,
  json,
});
const listSettings = z.object({ ...storeShape, json });
const revokeSettings = z.object({
  host_id: z.string().min(1).optional().describe('Revoke the credential of this host; use it instead of ID.'),
  ...storeShape,
});
const linkSettings = z.object({
  role: role.default('admin').describe('Role of the person who signs in with the link.'),
  ...scopeShape,
  public_url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      'Address of the collector as a browser reaches it. Default: its public_url, or the address at which it listens.',
    ),
  ...storeShape,
});
const signOutSettings = z.object({ ...storeShape });

const SUMMARIES = {
  create: 'Makes a token and prints its secret, which is shown only once.',
  list: 'Lists tokens, without their secrets.',
  revoke: 'Revokes a token at once, and ends its sessions and connections.',
  'sign-in-link': 'Prints a link that signs one person in, once, within 15 minutes.',
  'sign-out-all': 'Ends all sessions of all persons.',
};

export async function run(argv: string[]): Promise<number> {
  const { verb, load } = readSubcommand({ command: 'token', summaries: SUMMARIES, usage: usage(), argv });
  switch (verb) {
    case 'create':
      return create(load(createSettings).settings);
    case 'list':
      return list(load(listSettings).settings);
    case 'revoke': {
      const { settings, positionals } = load(revokeSettings, ['[ID]']);
      return revoke(positionals[0], settings);
    }
    case 'sign-in-link':
      return printLink(load(linkSettings).settings);
    case 'sign-out-all':
      return signOutAll(load(signOutSettings).settings);
  }
}

async function create(settings: z.infer<typeof createSettings>): Promise<number> {
  const { kind, role, name, host_id, expires_days } = settings;
  if (kind === 'person' && name === undefined) {
    throw new OperatorError(2, 'A token for a person needs --name: the audit log records this name.');
  }
  if (kind !== 'person' && role !== undefined) {
    throw new OperatorError(2, `--role is only for a person. Leave it out for a token of kind ${kind}.`);
  }
  if (kind !== 'agent' && host_id !== undefined) {
    throw new OperatorError(2, `--host-id is only for an agent. Leave it out for a token of kind ${kind}.`);
  }
  const request = newToken.parse({
    kind,
    name: name ?? host_id?.slice(0, 100) ?? kind,
    role,
    host_id,
    expires_days,
    scope: scopeOf(settings) ?? undefined,
  });
  const { token, secret } = await withAccess(settings, ({ access, actor }) =>
    access.createToken(request, actor),
  );
  if (settings.json) {
    process.stdout.write(`${visibleJson({ token, secret }, 2)}\n`);
  } else {
    // Only the secret goes to stdout: `imdswatch token create … > FILE` makes a token file.
    process.stderr.write(`Made token ${token.id}. This is its secret. It is not shown again:\n`);
    process.stdout.write(`${secret}\n`);
  }
  return 0;
}

async function list(settings: z.infer<typeof listSettings>): Promise<number> {
  const tokens = await withAccess(settings, ({ access }) => access.tokens());
  process.stdout.write(settings.json ? `${visibleJson(tokens, 2)}\n` : tokenTable(tokens, Date.now()));
  return 0;
}

async function revoke(id: string | undefined, settings: z.infer<typeof revokeSettings>): Promise<number> {
  const { host_id: hostId } = settings;
  if ((id === undefined) === (hostId === undefined)) {
    throw new OperatorError(
      2,
      'Name one token: "imdswatch token revoke ID" or "imdswatch token revoke --host-id HOST".',
    );
  }
  let released = false;
  const revoked = await withAccess(settings, async ({ access, actor }): Promise<Token | null> => {
    if (hostId !== undefined) released = await access.releaseCertifiedHost(hostId, actor);
    const tokens = await access.tokens();
    const token = tokens.find(
      (candidate) =>
        candidate.revoked === null && (id === undefined ? candidate.host_id === hostId : candidate.id === id),
    );
    return token !== undefined && (await access.revokeToken(token.id, actor)) ? token : null;
  });
  if (released)
    process.stderr.write(
      `Host ${visibleText(hostId!)} used a client certificate. It may enrol with a token now.\n`,
    );
  if (revoked === null && released) return 0;
  if (revoked === null) {
    throw new OperatorError(
      1,
      id === undefined
        ? `The host ${hostId} has no credential to revoke. "imdswatch token list" shows all tokens.`
        : `There is no token ${id} to revoke. "imdswatch token list" shows all tokens.`,
    );
  }
  const hostNote =
    revoked.host_id === null ? '' : ` Its host ${visibleText(revoked.host_id)} may enrol again.`;
  process.stderr.write(`Revoked ${revoked.id}.${hostNote}\n`);
  return 0;
}

async function printLink(settings: z.infer<typeof linkSettings>): Promise<number> {
  const scope = scopeOf(settings);
  const link = await withAccess(settings, async ({ access, actor }) => {
    const base = settings.public_url ?? (await access.address());
    if (base === null) {
      throw new OperatorError(
        1,
        'The address of the collector is not known yet. Start the collector, or set --public-url.',
      );
    }
    return signInLink(base, await access.createSignInCode({ role: settings.role, scope }, actor));
  });
  process.stderr.write(
    `This link signs in once, within 15 minutes, with the role ${settings.role}${scope === null ? '' : `, for ${visibleText(scopeText(scope))}`}:\n`,
  );
  process.stdout.write(`${visibleText(link)}\n`);
  return 0;
}

async function signOutAll(settings: z.infer<typeof signOutSettings>): Promise<number> {
  const count = await withAccess(settings, ({ access, actor }) => access.signOutAll(actor));
  process.stderr.write(`Ended ${count} ${count === 1 ? 'session' : 'sessions'}. Tokens stay valid.\n`);
  return 0;
}

function scopeOf({ account, tag }: z.infer<z.ZodObject<typeof scopeShape>>): Sight {
  if (account.length + tag.length === 0) return null;
  return [scopeOfConditions([...account.map((id) => `account:${id}`), ...tag.map((each) => `tag:${each}`)])];
}

function withAccess<T>(place: StorePlace, work: (admin: LocalAdmin) => Promise<T>): Promise<T> {
  return withAdmin(place, createLogger('warn', 'token'), work);
}

function usage(): string {
  const rows = Object.entries(SUMMARIES).map(([verb, summary]) => `  ${verb.padEnd(13)} ${summary}`);
  return `Manages access to the collector. Run it on the machine of the collector.

Usage: imdswatch token SUBCOMMAND [options]

${rows.join('\n')}

"imdswatch token SUBCOMMAND --help" lists the options.
`;
}
