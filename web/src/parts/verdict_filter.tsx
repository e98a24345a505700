/** Chips that filter a list by verdict. */
import type { Verdict } from '../../../collector/contract/host.ts';
import { Shape, VERDICT, verdicts } from './badge.tsx';
import { FilterChips } from './filter.tsx';

interface VerdictChipsProps {
  chosen: readonly Verdict[];
  onChange: (chosen: string[]) => void;
  /** The text that explains a verdict: `meaning` is about one host. */
  explanation: 'meaning' | 'short';
}

export function VerdictChips({ chosen, onChange, explanation }: VerdictChipsProps) {
  return (
    <FilterChips
      label="Readiness"
      chosen={[...chosen]}
      onChange={onChange}
      options={verdicts.map((value) => ({
        value,
        title: VERDICT[value][explanation],
        label: (
          <span class={`chip-label tone-${VERDICT[value].tone}`}>
            <Shape look={VERDICT[value]} /> {VERDICT[value].label}
          </span>
        ),
      }))}
    />
  );
}
