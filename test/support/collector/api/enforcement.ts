/** Answers of the enforcement's questions, with the arguments that they were asked with. */
import type { ApiParts } from '../../../../collector/api/parts.ts';
import type { EnforcementCall, EnforcementHost } from '../../../../collector/contract/enforcement.ts';
import { makeHost } from './findings.ts';

export function fakeEnforcement(asked: [string, ...unknown[]][]): ApiParts['enforcement'] {
  const { id, name, account, region, image_id, tags, verdict, start_seen, coverage_percent } = makeHost(1);
  const host: EnforcementHost = {
    ...{ id, name, account, region, image_id, tags, verdict, start_seen, coverage_percent },
    ...{ reason: 'It was watched.', hops: 1, advised_hop_limit: 2, is_online: true, is_live: true },
  };
  const call: EnforcementCall = {
    id: 'call-1',
    host: id,
    tags,
    time: '2026-03-01T00:00:00.000000Z',
    caller: { id: '0123456789abcdef', title: '/opt/old.sh' },
  };
  const answer = <T>(method: string, value: T) => {
    return async (...question: unknown[]): Promise<T> => {
      asked.push([method, ...question]);
      return value;
    };
  };
  return {
    hosts: answer('hosts', [host]),
    hostsAfter: answer('hostsAfter', { items: [host], next: id }),
    refusedCalls: answer('refusedCalls', [call]),
    acceptedCalls: answer('acceptedCalls', [call]),
    hostsOfCaller: answer('hostsOfCaller', [id]),
    newHosts: answer('newHosts', [{ hostId: id, tags }]),
    watched: answer('watched', new Map([[id, 1000]])),
  };
}
