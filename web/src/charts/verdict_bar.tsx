/** The number of hosts with each verdict: a bar, and a legend with links to the hosts. */
import type { Overview, Verdict } from '../../../collector/contract/host.ts';
import { count } from '../format.ts';
import { Shape, VERDICT, verdicts } from '../parts/badge.tsx';
import { query } from '../url_state.ts';
import './verdict_bar.css';

interface Props {
  verdicts: Overview['hosts']['verdicts'];
  total: number;
  windowParams: { days?: number };
}

/** The order of the bar, from safe to unsafe. */
const ORDER: Verdict[] = ['enforced', 'ready', 'unproven', 'fallback', 'rejected', 'blocked'];

export function VerdictBar({ verdicts: counts, total, windowParams }: Props) {
  return (
    <div class="verdict-bar">
      <div class="bar" aria-hidden="true">
        {ORDER.filter((verdict) => (counts[verdict] ?? 0) > 0).map((verdict) => (
          <i
            key={verdict}
            class={`tone-${VERDICT[verdict].tone}`}
            title={`${VERDICT[verdict].label}: ${count(counts[verdict]!)}`}
            style={{ flexGrow: String(counts[verdict]) }}
          />
        ))}
      </div>
      <ul>
        {[...verdicts].reverse().map((verdict) => {
          const look = VERDICT[verdict];
          const hosts = counts[verdict] ?? 0;
          return (
            <li key={verdict} class={hosts === 0 ? 'zero' : undefined}>
              <a
                href={`/hosts${query({ ...windowParams, verdict })}`}
                class={`tone-${look.tone}`}
                title={look.meaning}
              >
                <Shape look={look} />
                <span class="label">{look.label}</span>
                <span class="note">{look.short}</span>
                <b title={total === 0 ? undefined : `${Math.round((hosts / total) * 100)} %`}>
                  {count(hosts)}
                </b>
              </a>
            </li>
          );
        })}
      </ul>
    </div>
  );
}
