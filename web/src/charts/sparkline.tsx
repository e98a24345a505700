/** IMDSv1 calls over the window, as a row of small bars. */
import { count } from '../format.ts';
import './sparkline.css';

const HEIGHT = 18;
const STEP = 5;

export function Sparkline({ values }: { values: readonly number[] }) {
  const most = Math.max(1, ...values);
  const width = values.length * STEP;
  return (
    <svg
      class="sparkline"
      viewBox={`0 0 ${width} ${HEIGHT}`}
      width={width}
      height={HEIGHT}
      role="img"
      aria-label={`IMDSv1 calls, oldest first: ${values.map((value) => count(value)).join(', ')}`}
    >
      {values.map((value, index) => {
        // A single call is visible beside thousands.
        const height = value === 0 ? 1 : Math.max(2.5, (value / most) * HEIGHT);
        return (
          <rect
            key={index * STEP}
            class={value === 0 ? 'none' : undefined}
            x={index * STEP}
            y={HEIGHT - height}
            width={STEP - 1}
            height={height}
          />
        );
      })}
    </svg>
  );
}
