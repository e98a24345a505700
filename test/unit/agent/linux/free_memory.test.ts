import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { giveBackProgramPages, programPages } from '../../../../agent/linux/free_memory.ts';

/** One mapping as the kernel writes it, with the fields that matter. */
function mapping(head: string, { dirty = 0, anonymous = 0, locked = 0 } = {}): string {
  return `${head}
Size:              23716 kB
Rss:               23716 kB
Shared_Clean:          0 kB
Shared_Dirty:          0 kB
Private_Clean:     23716 kB
Private_Dirty:  ${String(dirty).padStart(8)} kB
Referenced:        23716 kB
Anonymous:      ${String(anonymous).padStart(8)} kB
Swap:                  0 kB
Locked:         ${String(locked).padStart(8)} kB
VmFlags: rd ex mr mw me
`;
}

describe('the pages of programs', () => {
  it('are those of files that nobody can or did change', () => {
    const text = '7f0000001000-7f0000003000 r-xp 00001000 08:01 1234                       /usr/bin/node';
    const found = (each: string) => programPages(each).map(({ at, bytes }) => [at.toString(16), bytes]);
    assert.deepEqual(found(mapping(text)), [['7f0000001000', 0x2000]]);
    assert.deepEqual(found(mapping(text.replace('r-xp', 'r--p'))), [['7f0000001000', 0x2000]]);
    const kept = [
      mapping(text, { dirty: 4 }),
      mapping(text, { anonymous: 4 }),
      mapping(text, { locked: 4 }),
      mapping(text.replace('r-xp', 'rw-p')),
      mapping(text.replace('r-xp', 'r--s')),
      mapping(text.replace('r-xp', '---p')),
      mapping('7f0000001000-7f0000003000 r-xp 00000000 00:00 0 '),
      mapping('7f0000001000-7f0000003000 r-xp 00000000 00:00 0                          [vdso]'),
      // A kernel that does not say what was changed.
      `${text}\nSize: 8 kB\n`,
    ];
    assert.deepEqual(found(kept.join('')), []);
    assert.equal(found([...kept, mapping(text), ...kept].join('')).length, 1);
  });

  it('can be given back while the program runs', () => {
    const resident = () =>
      Number(/^RssFile:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]);
    const before = resident();
    giveBackProgramPages();
    assert.ok(resident() < before);
    assert.equal(JSON.stringify([1, 'two'].map(String)), '["1","two"]');
  });
});
