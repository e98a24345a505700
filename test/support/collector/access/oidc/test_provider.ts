/** A real provider of OpenID Connect on loopback, at which everybody is signed in as `person` without a question. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
// @ts-expect-error oidc-provider has no types of its own.
import Provider from 'oidc-provider';

export const CLIENT_ID = 'imdswatch-test';
export const CLIENT_SECRET = 'a-secret-of-the-test-client-0123456789';

/** Claims of each person, for the ID token and for the UserInfo endpoint. */
const PEOPLE: Record<string, { id_token?: object; userinfo?: object }> = {
  ada: { id_token: { preferred_username: 'ada@example.com', groups: ['staff', 'imds-admins'] } },
  audrey: { id_token: { preferred_username: 'audrey', groups: ['imds-auditors'] } },
  victor: { userinfo: { preferred_username: 'victor', groups: ['imds-viewers'] } },
  sven: { id_token: { preferred_username: 'sven', groups: ['payments'] } },
  nora: { id_token: { preferred_username: 'nora', groups: ['sales', '<b>bold</b>'] } },
  mute: { id_token: { preferred_username: 'mute' } },
  enid: {
    id_token: {
      preferred_username: 'enid',
      _claim_names: { groups: 'src1' },
      _claim_sources: { src1: { endpoint: 'https://graph.invalid/getMemberObjects' } },
    },
  },
};
const CLAIMS = ['sub', 'preferred_username', 'groups', '_claim_names', '_claim_sources'];

export class TestProvider {
  readonly #server: Server;
  readonly issuer: string;
  /** The next sign-in is one of this person. */
  person = 'ada';
  /** Requests that were answered, by path. */
  readonly asked: string[] = [];

  private constructor(server: Server, issuer: string) {
    this.#server = server;
    this.issuer = issuer;
  }

  static async start(pageUrl: string, port = 0): Promise<TestProvider> {
    const server = createServer();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const own = new TestProvider(server, issuer);
    own.#serve(pageUrl);
    return own;
  }

  #serve(pageUrl: string): void {
    const provider = new Provider(this.issuer, {
      clients: [
        {
          client_id: CLIENT_ID,
          client_secret: CLIENT_SECRET,
          redirect_uris: [`${pageUrl}/sign-in/oidc/callback`],
          post_logout_redirect_uris: [`${pageUrl}/sign-in`],
        },
      ],
      cookies: { keys: ['a key of the test'] },
      conformIdTokenClaims: false,
      claims: { openid: CLAIMS, profile: [], email: [] },
      findAccount: (_: unknown, id: string) => ({
        accountId: id,
        claims: (use: 'id_token' | 'userinfo') => ({ sub: id, ...PEOPLE[id]?.[use] }),
      }),
      features: { devInteractions: { enabled: false } },
      pkce: { required: () => true },
      interactions: { url: (_: unknown, { uid }: { uid: string }) => `/sign-me-in/${uid}` },
      loadExistingGrant: async (ctx: {
        oidc: {
          provider: {
            Grant: new (of: object) => { addOIDCScope(scope: string): void; save(): Promise<void> };
          };
          client: { clientId: string };
          session: { accountId: string };
        };
      }) => {
        const { provider: own, client, session } = ctx.oidc;
        const grant = new own.Grant({ clientId: client.clientId, accountId: session.accountId });
        grant.addOIDCScope('openid profile email');
        await grant.save();
        return grant;
      },
    });
    const answer = provider.callback();
    this.#server.on('request', (request, response) => {
      const path = (request.url ?? '').split('?')[0]!;
      this.asked.push(path);
      if (!path.startsWith('/sign-me-in/')) return answer(request, response);
      const result =
        this.person === 'nobody'
          ? { error: 'access_denied', error_description: 'not today' }
          : { login: { accountId: this.person } };
      return provider
        .interactionFinished(request, response, result, { mergeWithLastSubmission: false })
        .catch(() => response.writeHead(500).end());
    });
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
