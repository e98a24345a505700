import { Empty } from '../parts/states.tsx';
import { ScreenHead } from '../shell.tsx';

export function NotFoundScreen() {
  return (
    <>
      <ScreenHead title="Not here" />
      <section class="panel">
        <Empty title="There is no screen at this address.">
          Go to the <a href="/">overview</a>.
        </Empty>
      </section>
    </>
  );
}
