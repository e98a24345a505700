/** `imdswatch token`: who may use the collector, managed by somebody with access to its files, while it runs. */
import * as z from 'zod';
import { newToken, role, type Token, tokenKind } from '../../collector/contract/administration.ts';
import { type LocalAdmin, signInLink, withAdmin } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { createLogger } from '../log.ts';
import { verbsHelp } from '../settings/help_requested.ts';
import { COLLECTOR_FILE, dataDirShape } from '../settings/local_collector.ts';
import { loadSettings } from '../settings/settings.ts';
import { tokenTable } from '../terminal/token_table.ts';
import { visibleJson, visibleText } from '../terminal/visible_text.ts';

const dataDir = dataDirShape.data_dir;
const json = z.boolean().default(false).describe('Print JSON.');

const createSettings = z.object({
  kind: tokenKind.describe(
    'person: signs in and uses the API. enrolment: lets agents in, which get a credential each. agent: such a credential, for one host.',
  ),
  role: role
    .optional()
    .describe('Of a person. viewer: sees findings. admin: also manages tokens, alerts and retention.'),
  name: newToken.shape.name.optional().describe('Whose it is, for the audit log. A person must have one.'),
  host_id: newToken.shape.host_id.describe('Of an agent: the id of the host that it speaks for.'),
  expires_days: newToken.shape.expires_days.describe('Days until it is worth nothing. Default: never.'),
  data_dir: dataDir,
  json,
});
const listSettings = z.object({ data_dir: dataDir, json });
const revokeSettings = z.object({
  host_id: z.string().min(1).optional().describe("Revoke this host's credential, in place of an ID."),
  data_dir: dataDir,
});
const linkSettings = z.object({
  role: role.default('admin').describe('What whoever follows the link may do.'),
  public_url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Where people find the collector. Default: its public_url, or where it listens.'),
  data_dir: dataDir,
});
const signOutSettings = z.object({ data_dir: dataDir });

const SUMMARIES: Record<string, string> = {
  create: 'Makes a token and prints its secret, this once.',
  list: 'Lists tokens, without their secrets.',
  revoke: 'Makes a token worthless at once, and ends what it opened.',
  'sign-in-link': 'Prints a link that signs in once, within 15 minutes.',
  'sign-out-all': 'Ends every session of every person.',
};

export async function run(argv: string[]): Promise<number> {
  const [verb = '', ...rest] = argv;
  const load = <S extends z.ZodObject>(schema: S, positionals: string[] = []) =>
    loadSettings(schema, {
      command: `token ${verb}`,
      summary: SUMMARIES[verb]!,
      argv: rest,
      env: process.env,
      shared: COLLECTOR_FILE,
      positionals,
    });
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
    case '--help':
    case '-h':
      throw verbsHelp('token', usage(), Object.keys(SUMMARIES));
    case '':
      throw new OperatorError(2, `What is to be done with tokens?\n\n${usage()}`);
    default:
      throw new OperatorError(2, `There is no "imdswatch token ${verb}".\n\n${usage()}`);
  }
}

async function create(settings: z.infer<typeof createSettings>): Promise<number> {
  const { kind, role, name, host_id, expires_days } = settings;
  if (kind === 'person' && name === undefined) {
    throw new OperatorError(2, 'A token for a person needs --name: the audit log calls them by it.');
  }
  if (kind !== 'person' && role !== undefined) {
    throw new OperatorError(2, `--role is for a person; a token of kind ${kind} has none.`);
  }
  if (kind !== 'agent' && host_id !== undefined) {
    throw new OperatorError(
      2,
      `--host-id is for an agent; a token of kind ${kind} is for no host in particular.`,
    );
  }
  const request = newToken.parse({
    kind,
    name: name ?? host_id?.slice(0, 100) ?? kind,
    role,
    host_id,
    expires_days,
  });
  const { token, secret } = await withAccess(settings.data_dir, ({ access, actor }) =>
    access.createToken(request, actor),
  );
  if (settings.json) {
    process.stdout.write(`${visibleJson({ token, secret }, 2)}\n`);
  } else {
    // The secret alone on stdout: `imdswatch token create … > FILE` makes a token file.
    process.stderr.write(`Token ${token.id}. This is its secret, shown only now:\n`);
    process.stdout.write(`${secret}\n`);
  }
  return 0;
}

async function list(settings: z.infer<typeof listSettings>): Promise<number> {
  const tokens = await withAccess(settings.data_dir, ({ access }) => access.tokens());
  process.stdout.write(settings.json ? `${visibleJson(tokens, 2)}\n` : tokenTable(tokens, Date.now()));
  return 0;
}

async function revoke(id: string | undefined, settings: z.infer<typeof revokeSettings>): Promise<number> {
  const { host_id: hostId, data_dir: dataDir } = settings;
  if ((id === undefined) === (hostId === undefined)) {
    throw new OperatorError(2, 'Say which token: "imdswatch token revoke ID" or "--host-id HOST".');
  }
  let released = false;
  const revoked = await withAccess(dataDir, ({ access, actor }): Token | null => {
    if (hostId !== undefined) released = access.releaseCertifiedHost(hostId, actor);
    const token = access
      .tokens()
      .find((one) => one.revoked === null && (id === undefined ? one.host_id === hostId : one.id === id));
    return token !== undefined && access.revokeToken(token.id, actor) ? token : null;
  });
  if (released)
    process.stderr.write(`${visibleText(hostId!)} came with a certificate, and may enrol by a token now.\n`);
  if (revoked === null && released) return 0;
  if (revoked === null) {
    throw new OperatorError(
      1,
      id === undefined
        ? `The host ${hostId} has no credential that could be revoked. "imdswatch token list" shows those that there are.`
        : `There is no token ${id} that could be revoked. "imdswatch token list" shows those that there are.`,
    );
  }
  const about = revoked.host_id === null ? '' : ` Its host ${visibleText(revoked.host_id)} may enrol again.`;
  process.stderr.write(`Revoked ${revoked.id}.${about}\n`);
  return 0;
}

async function printLink(settings: z.infer<typeof linkSettings>): Promise<number> {
  const link = await withAccess(settings.data_dir, ({ access, actor }) => {
    const base = settings.public_url ?? access.address();
    if (base === null) {
      throw new OperatorError(
        1,
        'Where the collector listens is not known yet: start it, or set --public-url.',
      );
    }
    return signInLink(base, access.createSignInCode(settings.role, actor));
  });
  process.stderr.write(`Works once, for 15 minutes, as ${settings.role}:\n`);
  process.stdout.write(`${visibleText(link)}\n`);
  return 0;
}

async function signOutAll(settings: z.infer<typeof signOutSettings>): Promise<number> {
  const count = await withAccess(settings.data_dir, ({ access, actor }) => access.signOutAll(actor));
  process.stderr.write(`Ended ${count} ${count === 1 ? 'session' : 'sessions'}. Tokens are still good.\n`);
  return 0;
}

function withAccess<T>(dataDir: string, work: (admin: LocalAdmin) => T): Promise<T> {
  return withAdmin(dataDir, createLogger('warn', 'token'), work);
}

function usage(): string {
  const rows = Object.entries(SUMMARIES).map(([verb, summary]) => `  ${verb.padEnd(13)} ${summary}`);
  return `Manages who may use the collector, on the machine that it runs on.

Usage: imdswatch token VERB [options]

${rows.join('\n')}

"imdswatch token VERB --help" explains a verb.
`;
}
