import { EmptyNotice } from '../parts/states.tsx';
import { ScreenHead } from '../shell.tsx';

export function NotFoundScreen() {
  return (
    <>
      <ScreenHead title="Page not found" />
      <section class="panel">
        <EmptyNotice title="There is no screen at this address.">
          Check the address, or go to the <a href="/">overview</a>.
        </EmptyNotice>
      </section>
    </>
  );
}
