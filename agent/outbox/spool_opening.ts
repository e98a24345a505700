/**
 * Opens a spool's directory: reads the ledger and the lanes that a former process left, and accounts for the
 * losses.
 */
import { readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { isSegmentFile } from './lane_files.ts';
import { DROP_ORDER } from './lanes.ts';
import { Ledger, type LedgerEntry } from './ledger.ts';
import { JOURNAL_FILE } from './roll_up_journal.ts';
import { SpoolContents } from './spool_contents.ts';
import { deleteIfPresent } from './spool_disk.ts';

export interface SpoolOwner {
  directory: string;
  hostId: string;
  bootId: string;
  segmentBytes: number;
  log: Logger;
}

/**
 * Returns the opened ledger and the contents that it describes. Throws errors of the file system; then
 * nothing is open.
 */
export function openSpool(owner: SpoolOwner): { contents: SpoolContents; ledger: Ledger } {
  const contents = new SpoolContents(owner.directory, owner.segmentBytes);
  const { ledger, entry, damaged } = Ledger.open(owner.directory);
  try {
    let spent: string[] = [];
    if (entry !== null && entry.host_id !== owner.hostId) discardForeign(contents, entry, owner);
    else spent = recover(contents, entry, damaged, owner);
    ledger.write({
      ...contents.toLedgerEntry(),
      host_id: owner.hostId,
      boot_id: owner.bootId,
      clean: false,
    });
    ledger.sync();
    for (const path of spent) deleteIfPresent(path);
  } catch (error) {
    ledger.close();
    throw error;
  }
  return { contents, ledger };
}

/** Returns the files that hold no records any more. */
function recover(
  contents: SpoolContents,
  entry: LedgerEntry | null,
  damaged: boolean,
  { directory, bootId, log }: SpoolOwner,
): string[] {
  const spentFiles: string[] = [];
  let isPowerCut = false;
  if (entry !== null) {
    contents.restoreFromLedger(entry);
    isPowerCut = !entry.clean && entry.boot_id !== bootId;
    if (isPowerCut) contents.countLifetime('power_cuts');
  }
  if (damaged) contents.countLifetime('ledgers_lost');
  let lost = 0;
  let hasMiscounted = false;
  for (const name of DROP_ORDER) {
    const lane = contents.lanes[name];
    const saved = entry?.lanes[name] ?? null;
    const { spent, unreadable, isMiscounted } = lane.recover(saved, contents.batches.inFlightOf(name));
    hasMiscounted ||= isMiscounted;
    spentFiles.push(...spent);
    if (unreadable > 0) contents.countLifetime('unreadable_files', unreadable);
    lost += lane.state.lost - (saved?.lost ?? 0);
  }
  // Nobody can tell when the lost records were made. The coverage reports that wait beside them would claim
  // that their time was watched. Without these reports the time since the last delivered report counts as
  // unwatched.
  if (lost > 0 || hasMiscounted || isPowerCut) {
    contents.batches.withdrawLane('coverage');
    spentFiles.push(...contents.lanes.coverage.discardAll());
  }
  if (lost > 0) log.warn({ lost, spool: directory }, 'spooled records were lost to damage');
  return spentFiles;
}

/**
 * Deletes the records of another host, whose disk image this host was made from. They are not this agent's to
 * send, and their stream is not its to use.
 */
function discardForeign(contents: SpoolContents, entry: LedgerEntry, { directory, log }: SpoolOwner): void {
  // Other files in the directory are not records: the agent's state and credential name their host
  // themselves, and an operator's files must stay.
  for (const file of readdirSync(directory)) {
    if (isSegmentFile(file) || file === JOURNAL_FILE) unlinkSync(join(directory, file));
  }
  const records = Object.values(entry.lanes).reduce(
    (sum, lane) => sum + lane.next - lane.acknowledged - lane.overflowed - lane.lost,
    0,
  );
  contents.countLifetime('foreign_records', records);
  log.warn({ records, host: entry.host_id }, 'discarded the spool of another host');
}
