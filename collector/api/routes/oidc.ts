/**
 * Ways of signing in, and the two addresses at which a browser signs in by OpenID Connect. Those two are for browsers
 * only, and are not part of the documented API.
 */
import type { Context } from 'hono';
import { BEGIN_PATH, CALLBACK_PATH } from '../../access/oidc/options.ts';
import type { ApiApp, ApiEnv } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { jsonAnswer, route } from '../route.ts';
import { SignInWays } from '../schemas.ts';
import { refusedPage, signedInPage } from '../sign_in_page.ts';

const waysRoute = route({
  method: 'get',
  path: '/api/v1/sign-in-ways',
  tags: ['session'],
  summary: 'Ways of signing in, besides tokens and links',
  responses: {
    200: jsonAnswer(SignInWays, 'The identity provider at which people sign in, if there is one.'),
  },
});

export function oidcRoutes(app: ApiApp, { access, oidc }: Pick<ApiParts, 'access' | 'oidc'>): void {
  app.openapi(waysRoute, (c) =>
    c.json({ oidc: oidc === null ? null : { name: oidc.name, path: BEGIN_PATH } }, 200),
  );
  if (oidc === null) return;

  app.get(BEGIN_PATH, async (c) => {
    const begun = await oidc.begin(c.req.query('return_to')).catch(refusalOf);
    if (begun instanceof Error) return refused(c, begun);
    return c.body(null, 302, { Location: begun.location, 'Set-Cookie': begun.cookie });
  });

  app.get(CALLBACK_PATH, async (c) => {
    const { search } = new URL(c.req.url);
    // The code works once, and so does the cookie, whatever comes of it.
    c.header('Set-Cookie', oidc.clearCookie());
    const finished = await oidc.finish(search, c.req.header('cookie'), c.get('address')).catch(refusalOf);
    if (finished instanceof Error) return refused(c, finished);
    const { session, maxAgeSeconds } = finished.signedIn;
    c.header('Set-Cookie', access.cookie.set(session, maxAgeSeconds), { append: true });
    return c.html(signedInPage(finished.returnPath));
  });
}

type Refusal = Error & { status: 400 | 403 | 429 | 502 | 503 };

/** Throws what is no refusal of a sign-in. The class itself is not imported, because its room is loaded only where used. */
function refusalOf(error: unknown): Refusal {
  if (error instanceof Error && error.name === 'SignInRefusal') return error as Refusal;
  throw error;
}

function refused(c: Context<ApiEnv>, { status, message }: Refusal): Response | Promise<Response> {
  if (status === 429) c.header('Retry-After', '60');
  return c.html(refusedPage(message), status);
}
