/** Writes a forecast with days in the viewer's language. */
import type { BurnDownForecast } from '../../collector/contract/fix_first.ts';
import * as contract from '../../collector/contract/forecast_text.ts';

const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' });

/** Formats the day of UTC that begins at this time. */
export function onDay(time: string): string {
  return day.format(Date.parse(time));
}

/** `what`: the noun of what is counted. */
export function forecastText(forecast: BurnDownForecast, what: string): string {
  return contract.forecastText(forecast, what, onDay);
}
