/** Says a forecast in one sentence. */
import type { BurnDownForecast } from '../../collector/contract/fix_first.ts';

const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' });

/** Formats the day of UTC that begins at this time. */
export function onDay(time: string): string {
  return day.format(Date.parse(time));
}

const NO_FORECAST: Record<NonNullable<BurnDownForecast['reason']>, string> = {
  too_few_weeks: 'fewer than four whole weeks are stored',
  fleet_changed: 'the number of watched hosts changed by more than a tenth in the last weeks',
  not_falling: 'the number does not clearly fall',
  overdue: 'by the trend there should be none left, but there are',
  too_far: 'the trend needs more than two years',
};

/** `what`: the noun of what is counted. */
export function forecastText(forecast: BurnDownForecast, what: string): string {
  switch (forecast.kind) {
    case 'reached':
      return `No ${what} had an IMDSv1 call in the last whole week.`;
    case 'unknown':
      return `No forecast: ${NO_FORECAST[forecast.reason!]}.`;
    case 'expected': {
      const span =
        forecast.latest === null
          ? `not before ${onDay(forecast.earliest!)}, and perhaps in more than two years`
          : `between ${onDay(forecast.earliest!)} and ${onDay(forecast.latest)}`;
      return `If it goes on like this, the last ${what} calls IMDSv1 around ${onDay(forecast.expected!)} (80 %: ${span}).`;
    }
  }
}
