/** Icons in the colour and size of the text. Words beside them say the same, so screen readers skip them. */
import './icon.css';

const PATHS = {
  overview: 'M2 9h5V2H2zm7 5h5V7H9zm0-12v3h5V2zM2 14h5v-3H2z',
  offenders: 'M8 1.500 15 14H1zM8 6v4M8 11.500v.8',
  hosts: 'M2 2.500h12v4.500H2zM2 9h12v4.500H2zM4.500 4.800h.01M4.500 11.200h.01',
  groups: 'M5 2h6v4H5zM1.500 10h5v4h-5zM9.500 10h5v4h-5zM8 6v2M4 10V8h8v2',
  plans: 'M2.500 3.500h1.500M2.500 8h1.500M2.500 12.500h1.500M6.500 3.500h7M6.500 8h5M6.500 12.500h3',
  live: 'M1 8h3l2-5.500 4 11L12 8h3',
  settings:
    'M2 4.500h7M12.500 4.500H14M2 11.500h1.500M7 11.500h7M10.700 2.700a1.800 1.800 0 1 0 .01 0M5.200 9.700a1.800 1.800 0 1 0 .01 0',
  copy: 'M5.500 5.500h8v8h-8zM3 10.500h-.5v-8h8V3',
  check: 'm2.500 8.500 3.500 3.500 7.500-8',
  close: 'm3.500 3.500 9 9m0-9-9 9',
  sun: 'M8 5a3 3 0 1 0 .01 0M8 1v1.300M8 13.700V15M1 8h1.300M13.700 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1',
  moon: 'M13.500 9.800A6 6 0 0 1 6.200 2.500a6 6 0 1 0 7.300 7.300z',
  system: 'M1.500 2.500h13v8.500h-13zM5.500 14h5M8 11v3',
  search: 'M7 2.500a4.500 4.500 0 1 0 .01 0M10.300 10.300 14 14',
  pause: 'M5 3v10M11 3v10',
  play: 'M4.500 2.500 13 8l-8.500 5.500z',
  up: 'M8 13V3.500M4 7l4-4 4 4',
  down: 'M8 3v9.500M4 9l4 4 4-4',
  out: 'M6 2.500H2.500v11H6M6.500 8H14M11 5l3 3-3 3',
  warning: 'M8 1.500 15 14H1zM8 6v4M8 11.500v.8',
  download: 'M8 2v8M4.500 7 8 10.500 11.500 7M2.500 13.500h11',
  external: 'M6 3H3v10h10v-3M9 2.500h4.500V7M13 3 7.500 8.500',
  retry: 'M13.500 8A5.500 5.500 0 1 1 11.700 4M13.500 1.500V5H10',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
