import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  ANCESTOR_HEAD_BYTES,
  ANCESTOR_LAYOUT,
  OWNER_HEAD_BYTES,
  OWNER_LAYOUT,
  STATE_BYTES,
  STATE_LAYOUT,
} from '../../../../agent/attribution/ebpf_records.ts';
import { objectFacts, whyNoCompiler } from '../../../support/agent/attribution/ebpf_object.ts';

const BPF = join(import.meta.dirname, '../../../../agent/attribution/bpf');
const committed = readFileSync(join(BPF, 'imds_connect.bpf.o'));

describe('the committed eBPF object', () => {
  it('lays its records out as the decoder reads them', () => {
    const { structs } = objectFacts(committed);
    assert.deepEqual(structs.get('owner_record'), { bytes: OWNER_HEAD_BYTES, members: { ...OWNER_LAYOUT } });
    assert.deepEqual(structs.get('ancestor_record'), {
      bytes: ANCESTOR_HEAD_BYTES,
      members: { ...ANCESTOR_LAYOUT },
    });
    assert.deepEqual(structs.get('state_record'), { bytes: STATE_BYTES, members: { ...STATE_LAYOUT } });
  });

  it('has the programs and maps that the agent uses', () => {
    const { functions, variables } = objectFacts(committed);
    assert.deepEqual(functions, [
      'append_cgroup',
      'append_cgroups',
      'append_executable',
      'append_working_directory',
      'imds_bytes_sending',
      'imds_bytes_sent',
      'imds_connect_begun',
      'imds_connect_state',
      'imds_process_forked',
      'imds_program_begun',
      'record_process',
    ]);
    for (const map of [
      'records',
      'lost',
      'scratches',
      'chosen_endpoints',
      'executions',
      'wake_ups',
      'own_namespace',
      'socket_users',
    ])
      assert.ok(variables.includes(map), map);
  });

  it('holds no path of the machine that built it', () => {
    const paths = committed.toString('latin1').match(/\/(home|root|tmp|work|usr|src|build)\/[ -~]*/g);
    assert.equal(paths, null);
  });

  it('matches its source', { skip: whyNoCompiler() }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'imdswatch-bpf-'));
    try {
      const output = join(directory, 'rebuilt.bpf.o');
      execFileSync(join(BPF, 'build'), [output], { stdio: ['ignore', 'inherit', 'pipe'] });
      assert.deepEqual(objectFacts(readFileSync(output)), objectFacts(committed));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
