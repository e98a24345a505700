/** Small pages for people who sign in at an identity provider. They need no script, and hold nothing that is not escaped. */
import { html } from 'hono/html';

type Html = ReturnType<typeof html>;

function page(title: string, head: Html | string, body: Html): Html {
  return html`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title} · imdswatch</title>${head}</head><body><main><h1>${title}</h1>${body}</main></body></html>`;
}

/**
 * Leads to a path of our own page. A redirect would not do: browsers send a cookie with `SameSite=Strict` only if our own
 * site, and not the provider, leads to the path.
 */
export function signedInPage(path: string): Html {
  const refresh = html`<meta http-equiv="refresh" content="0; url=${path}">`;
  return page('Signed in', refresh, html`<p><a href="${path}">Continue to imdswatch</a></p>`);
}

export function refusedPage(message: string): Html {
  return page(
    'You are not signed in',
    '',
    html`<p>${message}</p><p><a href="/sign-in">Back to the sign-in</a></p>`,
  );
}
