/** The triage of an offender: words for its states, and a short form for lists. */
import type { Triage, TriageState } from '../../../collector/contract/triage.ts';
import { Tag, type Tone } from './badge.tsx';

interface StateLook {
  label: string;
  tone: Tone;
  meaning: string;
}

export const TRIAGE: Record<TriageState, StateLook> = {
  open: { label: 'Open', tone: 'neutral', meaning: 'Nobody works on it.' },
  in_progress: { label: 'In progress', tone: 'medium', meaning: 'Somebody works on it.' },
  exception: {
    label: 'Exception',
    tone: 'violet',
    meaning: 'It may go on until a date. Its hosts stay blocked.',
  },
  fixed: { label: 'Fixed', tone: 'good', meaning: 'It is open again when it calls IMDSv1 again.' },
};

const ENDED: Record<NonNullable<Triage['ended']>, StateLook> = {
  called_again: {
    label: 'Calls again',
    tone: 'high',
    meaning: 'It was marked as fixed, and has called IMDSv1 since then.',
  },
  exception_over: { label: 'Exception over', tone: 'high', meaning: 'The date of its exception has passed.' },
};

export const triageStates = Object.keys(TRIAGE) as TriageState[];

export function TriageTag({ triage: { state, ended } }: { triage: Triage }) {
  const look = ended === null ? TRIAGE[state] : ENDED[ended];
  return (
    <Tag tone={look.tone} title={look.meaning}>
      {look.label}
    </Tag>
  );
}

/** Tells whether there is more to show than that nobody has looked at it. */
export function isTriaged({ state, ended, owner }: Triage): boolean {
  return state !== 'open' || ended !== null || owner !== null;
}
