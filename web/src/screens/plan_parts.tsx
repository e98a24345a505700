/** Parts of both screens about plans. */
import type { FeedState } from '../api/plan_feed.ts';
import './live.css';

const FEED: Record<FeedState, string> = { connecting: 'Connecting', open: 'Live', lost: 'Reconnecting' };

export function FeedMark({ state }: { state: FeedState }) {
  return (
    <span class={`feed-state ${state}`}>
      <i aria-hidden="true" />
      {FEED[state]}
    </span>
  );
}

/** Says what was never tried, where people see what a plan does. `docs/enforce.md` says the same. */
export function NeverTried() {
  return (
    <p class="never-tried">
      The state machine and its calls are tested against a cloud of our own, with the real AWS SDK. Nothing of
      it was tried against a real AWS account yet: begin with one instance that nobody needs (imdswatch
      enforce selftest).
    </p>
  );
}
