/**
 * Makes offenders and hosts in the form that insight returns. A test sets only the fields that it is about.
 */

import type { Host } from '../../../../collector/contract/host.ts';
import type { Offender } from '../../../../collector/contract/offender.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import { NO_TRIAGE } from '../triage.ts';

export const NOON_US = Date.parse('2026-11-22T12:00:00Z') * 1000;
export const MINUTE_US = 60_000_000;

export function offenderOf(number: number, given: Partial<Offender> = {}): Offender {
  return {
    id: number.toString(16).padStart(16, '0'),
    severity: 'v1',
    attributed: true,
    title: `/usr/bin/tool-${number}`,
    executable: `/usr/bin/tool-${number}`,
    name: null,
    script: null,
    user: 'root',
    uid: null,
    container_image: null,
    systemd_unit: null,
    k8s_namespace: null,
    k8s_container: null,
    source_address: null,
    helpers: [],
    started_by: null,
    entry: null,
    releases: [],
    calls_v1: 3,
    calls_v2: 0,
    blocked_attempts: 0,
    credentials_over_v1: 0,
    last_credentials_over_v1: null,
    credentials_over_v1_attempts: 0,
    rejected_v1: 0,
    adapted_v1: 0,
    refused_tokens: 0,
    other_cloud_calls: 0,
    answered_by_host_v1: 0,
    acts_for_others: false,
    fallbacks: { token_unanswered: 0, token_refused: 0 },
    categories_v1: {},
    roles_v1: [],
    user_agents: [],
    clients: [],
    host_count: 1,
    hosts_freed: 1,
    hosts: [{ id: 'i-1', name: 'web-1' }],
    accounts: [],
    regions: [],
    first_seen: toTimestamp(NOON_US),
    last_seen: toTimestamp(NOON_US),
    first_v1: toTimestamp(NOON_US),
    last_v1: toTimestamp(NOON_US),
    trend_v1: [],
    advice_kind: 'raw_http',
    advice_headline: 'Ask for a token first.',
    triage: NO_TRIAGE,
    ...given,
  };
}

/** Returns an offender that received role credentials, last at `lastUs`. */
export function thiefOf(number: number, lastUs: number): Offender {
  return offenderOf(number, {
    severity: 'credentials',
    credentials_over_v1: 1,
    last_credentials_over_v1: toTimestamp(lastUs),
    roles_v1: ['app'],
  });
}

export function hostOf(number: number, given: Partial<Host> = {}): Host {
  return {
    id: `i-${number}`,
    name: `web-${number}`,
    account: null,
    region: null,
    zone: null,
    type: null,
    image_id: null,
    tags: {},
    state: 'online',
    agent_version: '0.1.0',
    attribution_method: 'ebpf',
    first_seen: toTimestamp(NOON_US),
    last_seen: toTimestamp(NOON_US),
    last_heartbeat: toTimestamp(NOON_US),
    clock_skew_seconds: 0,
    verdict: 'ready',
    start_seen: true,
    coverage_percent: 100,
    gap_count: 0,
    calls_v1: 0,
    offender_count: 0,
    last_v1: null,
    ...given,
  };
}

export function lossOf(
  number: number,
  startUs: number,
  endUs: number,
  reason: 'losses' | 'capture_not_live',
) {
  return { hostId: `i-${number}`, gaps: [{ startUs, endUs, reason, detail: 'capture.dropped' }] };
}
