import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { Problem } from '../problem.ts';
import { jsonAnswer, jsonBody, problemAnswer, route } from '../route.ts';
import { NewSession, Session, SignedOut, SignIn } from '../schemas.ts';

const currentRoute = route({
  method: 'get',
  path: '/api/v1/session',
  tags: ['session'],
  summary: 'The person who is signed in',
  responses: { 200: jsonAnswer(Session, 'The person behind this request.') },
});

const signInRoute = route({
  method: 'post',
  path: '/api/v1/session',
  tags: ['session'],
  summary: "Sign in with a person's token or a one-time code",
  description:
    'Sets the session cookie. It works only from the page of this collector. Programs send their token with every request instead.',
  request: { body: jsonBody(SignIn) },
  responses: {
    201: jsonAnswer(NewSession, 'Signed in.'),
    401: problemAnswer('The token or code is not valid, or has expired.'),
  },
});

const signOutRoute = route({
  method: 'delete',
  path: '/api/v1/session',
  tags: ['session'],
  summary: 'Sign out',
  responses: {
    200: jsonAnswer(SignedOut, 'Signed out here. The identity provider still has a session of the person.'),
    204: { description: 'Signed out. Also the answer to a request that was not signed in.' },
  },
});

export function sessionRoutes(app: ApiApp, { access, oidc }: ApiParts): void {
  app.openapi(currentRoute, (c) => {
    const { name, role, scope, via } = c.get('principal')!;
    return c.json({ name, role, scope, via }, 200);
  });

  app.openapi(signInRoute, async (c) => {
    const { secret } = c.req.valid('json');
    const signedIn = await access.signIn(secret.trim(), c.get('address'));
    if (signedIn === null) {
      throw new Problem(
        401,
        'This token or link is not valid, or has expired. A link works once, within 15 minutes.',
      );
    }
    if ('retryAfterSeconds' in signedIn) {
      const { retryAfterSeconds: seconds } = signedIn;
      throw new Problem(429, `Too many attempts to sign in. Try again in ${seconds} s.`, {
        headers: { 'Retry-After': String(seconds) },
      });
    }
    const { name, role, scope, via } = signedIn.principal;
    return c.json({ name, role, scope, via, expires: signedIn.expires }, 201, {
      'Set-Cookie': access.cookie.set(signedIn.session, signedIn.maxAgeSeconds),
    });
  });

  app.openapi(signOutRoute, async (c) => {
    const session = access.cookie.read(c.req.header('cookie'));
    const idToken = session === null ? null : await access.signOut(session, c.get('address'));
    const url = idToken === null || oidc === null ? null : await oidc.endSessionUrl(idToken);
    const cleared = { 'Set-Cookie': access.cookie.clear() };
    return url === null ? c.body(null, 204, cleared) : c.json({ provider_url: url }, 200, cleared);
  });
}
