/** Says a forecast in one sentence, the same on the page and in the command. */
import type { BurnDownForecast } from './fix_first.ts';

const NO_FORECAST: Record<NonNullable<BurnDownForecast['reason']>, string> = {
  too_few_weeks: 'fewer than four whole weeks are stored',
  fleet_changed: 'the number of watched hosts changed by more than a tenth in the last weeks',
  not_falling: 'the number does not clearly fall',
  overdue: 'by the trend there should be none left, but there are',
  too_far: 'the trend needs more than two years',
};

/** `what`: the noun of what is counted. `onDay` writes the day of UTC of a time. */
export function forecastText(
  forecast: BurnDownForecast,
  what: string,
  onDay: (time: string) => string,
): string {
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
