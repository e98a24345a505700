/** Tests how resources are matched to hosts, and what is said about them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type WatchedHost, withReadiness } from '../../../scan/readiness.ts';
import { scanTexts } from '../../support/scan/scan_texts.ts';

const DAY = 86_400_000;
const NOW = Date.parse('2026-03-31T00:00:00Z');
const host = (id: string, changes: Partial<WatchedHost> = {}): WatchedHost => ({
  id,
  tags: {},
  verdict: 'ready',
  startSeen: true,
  lastV1: NOW - 21.5 * DAY,
  firstSeen: NOW - 60 * DAY,
  offenders: [],
  ...changes,
});

const state = (type: string, attributes: object) =>
  JSON.stringify({
    version: 4,
    terraform_version: '1.9.0',
    resources: [
      {
        mode: 'managed',
        type,
        name: 'x',
        instances: [{ attributes: { metadata_options: [{ http_tokens: 'optional' }], ...attributes } }],
      },
    ],
  });

async function readinessOf(texts: Record<string, string>, hosts: WatchedHost[]) {
  const { findings } = await scanTexts(texts);
  return withReadiness(findings, hosts, NOW).map(({ readiness }) => readiness);
}

describe('readiness of scanned resources', () => {
  it('matches an instance by its id in a state file', async () => {
    const texts = { 's.tfstate': state('aws_instance', { id: 'i-1' }) };
    assert.deepEqual(await readinessOf(texts, [host('i-1'), host('i-2')]), [
      { hosts: 1, state: 'safe', text: '1 host, ready, no IMDSv1 for 21 days: safe to change.' },
    ]);
  });

  it('matches a template by its id', async () => {
    const texts = { 's.tfstate': state('aws_launch_template', { id: 'lt-1' }) };
    const hosts = ['i-1', 'i-2', 'i-3'].map((id) =>
      host(id, { tags: { 'aws:ec2launchtemplate:id': 'lt-1' } }),
    );
    assert.deepEqual(await readinessOf(texts, hosts), [
      { hosts: 3, state: 'safe', text: '3 hosts, ready, no IMDSv1 for 21 days: safe to change.' },
    ]);
  });

  it('gives a template the hosts of the group that uses it', async () => {
    const texts = {
      'main.tf':
        'resource "aws_autoscaling_group" "g" {\n  name = "web"\n  launch_template {\n    id = aws_launch_template.t.id\n  }\n}\nresource "aws_launch_template" "t" {\n  name = "t"\n}\n',
    };
    const hosts = [
      host('i-1', {
        tags: { 'aws:autoscaling:groupName': 'web' },
        verdict: 'blocked',
        offenders: ['/opt/legacy/bin'],
      }),
      host('i-2', { tags: { 'aws:autoscaling:groupName': 'web' } }),
      host('i-3', { tags: { 'aws:autoscaling:groupName': 'other' } }),
    ];
    assert.deepEqual(await readinessOf(texts, hosts), [
      { hosts: 2, state: 'blocked', text: '2 hosts: blocked by /opt/legacy/bin on 1. Do not change it yet.' },
    ]);
  });

  it('matches by tags only when all are equal', async () => {
    const texts = {
      'main.tf': 'resource "aws_instance" "x" {\n  tags = {\n    Name = "web"\n    Env  = "prod"\n  }\n}\n',
    };
    const hosts = [
      host('i-1', { tags: { Name: 'web' } }),
      host('i-2', { tags: { Name: 'web', Env: 'prod', Extra: 'y' } }),
    ];
    assert.equal((await readinessOf(texts, hosts))[0]?.hosts, 1);
    const none = await readinessOf(texts, []);
    assert.equal(none[0]?.state, 'unmatched');
    assert.match(none[0]?.text ?? '', /nothing is known/);
  });

  it('never calls unproven hosts safe', async () => {
    const texts = { 's.tfstate': state('aws_instance', { id: 'i-1' }) };
    assert.equal((await readinessOf(texts, [host('i-1', { verdict: 'unproven' })]))[0]?.state, 'unproven');
  });

  it('waits with a template until a start was seen, and not with a running instance', async () => {
    const unseen = { startSeen: false, tags: { 'aws:ec2launchtemplate:id': 'lt-1' } };
    const template = await readinessOf({ 's.tfstate': state('aws_launch_template', { id: 'lt-1' }) }, [
      host('i-1', unseen),
    ]);
    assert.equal(template[0]?.state, 'unproven');
    assert.match(template[0]?.text ?? '', /no start of 1 was seen/);
    const instance = await readinessOf({ 's.tfstate': state('aws_instance', { id: 'i-1' }) }, [
      host('i-1', unseen),
    ]);
    assert.equal(instance[0]?.state, 'safe');
  });

  it('says nothing about resources whose hosts cannot be told', async () => {
    assert.deepEqual(await readinessOf({ 'main.tf': 'resource "aws_instance" "x" {}\n' }, [host('i-1')]), [
      undefined,
    ]);
  });
});
