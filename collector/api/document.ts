/** The OpenAPI 3.1 document, made from the routes. */
import { VERSION } from '../../common/version.ts';
import type { ApiApp } from './env.ts';
import { API_PREFIX } from './paths.ts';

const TAGS = [
  { name: 'findings', description: 'Who still calls IMDSv1, where, and which hosts are ready.' },
  { name: 'calls', description: 'Single calls, as stored and as they come.' },
  { name: 'cloud', description: "The cloud's own counts, to hold against what was seen." },
  { name: 'administration', description: 'Tokens, alerts, retention, and the log of what admins did.' },
  { name: 'session', description: 'Signing in and out.' },
  { name: 'operation', description: 'Health and metrics of the collector.' },
];

export function serveDocument(app: ApiApp): void {
  const registry = app.openAPIRegistry;
  registry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description: 'A token of a person, as "imdswatch token create --kind person" makes it.',
  });
  registry.registerComponent('securitySchemes', 'session', {
    type: 'apiKey',
    in: 'cookie',
    name: 'imdswatch',
    description: 'What signing in sets (`__Host-imdswatch` over TLS).',
  });
  let document: unknown;
  app.get(`${API_PREFIX}/openapi.json`, (c) => {
    document ??= app.getOpenAPI31Document({
      openapi: '3.1.0',
      info: {
        title: 'imdswatch collector',
        version: VERSION,
        description:
          'Times are RFC 3339 in UTC. Lists answer `{ items, next }`: give `next` as `cursor`, and everything else as it was, for the page behind. Errors are problem documents (RFC 9457).',
        license: { name: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      tags: TAGS,
    });
    return c.json(document as object);
  });
}
