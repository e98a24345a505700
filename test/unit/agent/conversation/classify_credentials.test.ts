/** Tests the category of requests to the credentials endpoints of ECS tasks and EKS pods. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { classifyCredentialsEndpoint } from '../../../../agent/conversation/classify.ts';
import { redactPath } from '../../../../agent/secrets/redact.ts';

const ID = '5a7d4f4a-92b4-43ff-9c51-0c4b7c6d3a10';

describe('a request to a credentials endpoint', () => {
  for (const [method, path, kind, category] of [
    ['GET', `/v2/credentials/${ID}`, 'read', 'credentials'],
    ['GET', `//v2/credentials/${ID}/`, 'read', 'credentials'],
    ['GET', `/v1/credentials?id=${ID}`, 'read', 'credentials'],
    ['GET', '/v1/credentials', 'read', 'credentials'],
    ['HEAD', '/v1/credentials', 'read', 'credentials'],
    ['POST', '/v1/credentials', 'other', 'credentials'],
    ['GET', '/v2/metadata', 'read', 'metadata'],
    ['GET', '/v2/stats', 'read', 'metadata'],
    ['GET', '/v3/0123456789/task', 'read', 'metadata'],
    ['GET', '/v4/0123456789', 'read', 'metadata'],
    ['PUT', '/latest/api/token', 'other', 'other'],
    ['GET', '/latest/meta-data/iam/security-credentials/r', 'read', 'other'],
    ['GET', '/', 'read', 'other'],
  ] as const) {
    it(`${method} ${path.replace(ID, '<id>')} → ${kind} ${category}`, () => {
      const [bare, query] = path.split('?');
      const request = {
        method,
        path: redactPath(bare!),
        query: query ?? null,
        userAgent: null,
        hasToken: true,
        isWhole: true,
        form: 'plain' as const,
      };
      const response = { status: 200, hasTokenTtl: false };
      const exchange = { startUs: 0, responseUs: 1, request, response, outcome: 'answered' } as const;
      assert.deepEqual(classifyCredentialsEndpoint(exchange), {
        version: null,
        kind,
        category,
        role: null,
        serverVersion: null,
      });
    });
  }

  it('keeps no id of credentials, which alone is enough to fetch them', () => {
    for (const path of [`/v2/credentials/${ID}`, `/v2/credentials//${ID}`, `/v2/credentials/${ID}/x`]) {
      assert.equal(redactPath(path).includes(ID.slice(0, 8)), false, path);
    }
    assert.equal(redactPath('/v1/credentials'), '/v1/credentials');
    assert.equal(
      redactPath('/latest/meta-data/iam/security-credentials/role'),
      '/latest/meta-data/iam/security-credentials/role',
    );
  });
});
