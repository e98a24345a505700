/**
 * Sends alerts to Slack's incoming webhooks and compatible services: `text` for notifications, `blocks` for
 * the message.
 */
import type { Alert } from '../../contract/alert.ts';
import type { DestinationConfig } from '../../contract/destination.ts';
import type { Send } from './channel.ts';
import { post } from './post.ts';

/** Limits of Block Kit for the text of a header and of a section. */
const MAX_HEADER_CHARACTERS = 150;
const MAX_SECTION_CHARACTERS = 3000;
const MARK: Record<Alert['severity'], string> = {
  critical: ':rotating_light:',
  warning: ':warning:',
  info: ':information_source:',
};

const RESOLVED_MARK = ':white_check_mark:';

export const sendSlack: Send<Extract<DestinationConfig, { kind: 'slack' }>> = ({ url }, alert, context) =>
  post(
    url,
    Buffer.from(JSON.stringify(slackMessage(alert))),
    { 'Idempotency-Key': `"${alert.id}"` },
    context,
  );

export function slackMessage({ state, severity, title, text, link, rule, time }: Alert) {
  const mark = state === 'resolved' ? RESOLVED_MARK : MARK[severity];
  const details = [
    `*${state === 'resolved' ? state : severity}*`,
    rule,
    time,
    ...(link === null ? [] : [`<${escaped(link)}|Open in imdswatch>`]),
  ];
  return {
    text: `${mark} ${escaped(title)}`,
    blocks: [
      // Plain text has no markup, so nothing is escaped.
      { type: 'header', text: { type: 'plain_text', text: cut(title, MAX_HEADER_CHARACTERS) } },
      { type: 'section', text: { type: 'mrkdwn', text: cutEscaped(text, MAX_SECTION_CHARACTERS) } },
      { type: 'context', elements: [{ type: 'mrkdwn', text: details.join(' · ') }] },
    ],
  };
}

/**
 * Escapes `<…>`, which could be a link or a mention of everybody (docs.slack.dev, "Formatting message text").
 */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1).toWellFormed()}…`;
}

/** Cuts a text, but never inside an escape sequence. */
function cutEscaped(text: string, most: number): string {
  let result = '';
  for (const character of text) {
    const next = escaped(character);
    if (result.length + next.length >= most) return `${result}…`;
    result += next;
  }
  return result;
}
