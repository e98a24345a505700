/** Serves the OpenAPI 3.1 document, which is made from the routes. */
import { VERSION } from '../../common/version.ts';
import type { ApiApp } from './env.ts';
import { API_PREFIX } from './paths.ts';

const TAGS = [
  { name: 'findings', description: 'Workloads that still call IMDSv1, and the readiness of hosts.' },
  { name: 'calls', description: 'Single calls, stored and live.' },
  { name: 'cloud', description: "The cloud's own counts, to compare with the calls that were seen." },
  {
    name: 'enforcement',
    description:
      'What `imdswatch enforce` asks from another machine (verdicts now, refused calls, watched time), and its reports about plans.',
  },
  { name: 'administration', description: 'Tokens, alerts, retention and the audit log.' },
  { name: 'session', description: 'Signing in and out.' },
  { name: 'operation', description: 'Health and metrics of the collector.' },
];

export function serveDocument(app: ApiApp): void {
  const registry = app.openAPIRegistry;
  registry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description: 'Token of a person, made by "imdswatch token create --kind person".',
  });
  registry.registerComponent('securitySchemes', 'session', {
    type: 'apiKey',
    in: 'cookie',
    name: 'imdswatch',
    description: 'Cookie that a sign-in sets (`__Host-imdswatch` over TLS).',
  });
  let document: unknown;
  app.get(`${API_PREFIX}/openapi.json`, (c) => {
    document ??= app.getOpenAPI31Document({
      openapi: '3.1.0',
      info: {
        title: 'imdswatch collector',
        version: VERSION,
        description:
          'Times are RFC 3339 in UTC. Lists answer `{ items, next }`. For the next page, repeat the request with `next` as `cursor` and all other parameters unchanged. Errors are problem documents (RFC 9457).',
        license: { name: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      tags: TAGS,
    });
    return c.json(document as object);
  });
}
