/** Attempts of an ordinary user, without any privilege. Their programs are in unprivileged.py, under the same names. */
import type { Evasion } from './evasion_lab.ts';
import type { End } from './outcome.ts';

/** An attempt of a program beside this file, under the same name. */
function attempt(program: string, name: string, end: End, tries: string): Evasion {
  const act: Evasion['act'] = async ({ attackers }, tag) => {
    await attackers.unprivileged(program, name.replaceAll('-', '_'), tag);
  };
  return { name, tries, end, act };
}

const REFUSED = 'and the service answers 404, which confirms nothing';

export const ODD_REQUESTS: Evasion[] = [
  attempt(
    'odd_requests.py',
    'pipelined-behind-tokens',
    'call',
    'The call stands behind 200 IMDSv2 calls in one write.',
  ),
  attempt('odd_requests.py', 'byte-by-byte', 'call', 'Each byte of the request travels alone.'),
  attempt('odd_requests.py', 'slow-head', 'call', 'The head takes three seconds.'),
  attempt(
    'odd_requests.py',
    'silent-before-the-request',
    'call',
    'The connection is silent for four seconds before it asks.',
  ),
  attempt('odd_requests.py', 'space-before-colon', 'call', 'The name of the token header ends with a space.'),
  attempt(
    'odd_requests.py',
    'space-before-colon-missing',
    'call',
    `The token header's name ends with a space, ${REFUSED}.`,
  ),
  attempt(
    'odd_requests.py',
    'tab-before-colon-missing',
    'call',
    `The token header's name ends with a tab, ${REFUSED}.`,
  ),
  attempt(
    'odd_requests.py',
    'folded-line',
    'call',
    'The token header is the continuation of another header.',
  ),
  attempt(
    'odd_requests.py',
    'folded-line-missing',
    'call',
    `The token header is the continuation of another, ${REFUSED}.`,
  ),
  attempt(
    'odd_requests.py',
    'folded-first-line-missing',
    'call',
    `The token header continues the request line, ${REFUSED}.`,
  ),
  attempt(
    'odd_requests.py',
    'bare-return-missing',
    'call',
    `The token header stands behind a bare carriage return, ${REFUSED}.`,
  ),
  attempt('odd_requests.py', 'bare-newlines', 'call', 'All lines end with a newline only.'),
  attempt(
    'odd_requests.py',
    'nul-in-name-missing',
    'call',
    `The token header's name ends with a NUL, ${REFUSED}.`,
  ),
  attempt(
    'odd_requests.py',
    'underscores-missing',
    'call',
    `The token header is written with underscores, ${REFUSED}.`,
  ),
  attempt(
    'odd_requests.py',
    'kelvin-sign-missing',
    'call',
    `The token header is written with a Kelvin sign, ${REFUSED}.`,
  ),
  attempt('odd_requests.py', 'no-colon-missing', 'call', `The token header has no colon, ${REFUSED}.`),
  attempt(
    'odd_requests.py',
    'longer-name-missing',
    'call',
    `The token header's name is one character longer, ${REFUSED}.`,
  ),
  attempt('odd_requests.py', 'token-in-query', 'call', 'The token stands in the query.'),
  attempt('odd_requests.py', 'token-in-body', 'call', 'The token stands in the body.'),
  attempt(
    'odd_requests.py',
    'token-in-trailer',
    'call',
    'The token stands in the trailer of a chunked body.',
  ),
  attempt('odd_requests.py', 'leading-blank-lines', 'call', 'Blank lines stand before the request.'),
  attempt('odd_requests.py', 'absolute-form', 'call', 'The target is an absolute URL of the service.'),
  attempt(
    'odd_requests.py',
    'absolute-form-of-another-host',
    'call',
    'The target is an absolute URL of another host.',
  ),
  attempt('odd_requests.py', 'http-0-9', 'call', 'The request has no version.'),
  attempt('odd_requests.py', 'http-1-0', 'call', 'The request is HTTP/1.0.'),
  attempt(
    'odd_requests.py',
    'http-2-preface',
    'loss',
    'The first line of the HTTP/2 preface stands before the call.',
  ),
  attempt(
    'odd_requests.py',
    'http-2-preface-whole',
    'loss',
    'The whole HTTP/2 preface stands before the call.',
  ),
  attempt('odd_requests.py', 'connect-method', 'call', 'The call follows a refused CONNECT.'),
  attempt(
    'odd_requests.py',
    'upgrade-h2c',
    'call',
    'The request offers an upgrade that the service does not take.',
  ),
  attempt('odd_requests.py', 'expect-continue', 'call', 'The request expects an interim answer.'),
  attempt(
    'odd_requests.py',
    'two-lengths',
    'call',
    'The call is the body of an IMDSv2 call by the first of two lengths.',
  ),
  attempt('odd_requests.py', 'two-lengths-missing', 'call', `The same with two lengths, ${REFUSED}.`),
  attempt(
    'odd_requests.py',
    'hidden-in-a-body',
    'loss',
    'The call is the body of an IMDSv2 call to a service that reads no bodies.',
  ),
  attempt(
    'odd_requests.py',
    'hidden-in-a-body-missing',
    'loss',
    `The call is the body of an IMDSv2 call, ${REFUSED}.`,
  ),
  attempt(
    'odd_requests.py',
    'hidden-in-a-long-body',
    'loss',
    'Five calls are part of a body of a gigabyte that the service ignores.',
  ),
  attempt(
    'odd_requests.py',
    'hidden-in-chunks',
    'loss',
    'The call is a chunk of the body of an IMDSv2 call.',
  ),
  attempt(
    'odd_requests.py',
    'hidden-in-chunks-missing',
    'loss',
    `The call is a chunk of an IMDSv2 call's body, ${REFUSED}.`,
  ),
  attempt(
    'odd_requests.py',
    'behind-head',
    'call',
    'The call stands behind a HEAD, whose answer has a length and no body.',
  ),
  attempt('odd_requests.py', 'endless-head', 'call', 'One header has more than a megabyte.'),
  attempt('odd_requests.py', 'many-headers', 'call', 'The head has five thousand headers.'),
  attempt('odd_requests.py', 'long-url', 'call', 'The target has twenty thousand characters.'),
  attempt(
    'odd_requests.py',
    'odd-method',
    'call',
    'The methods are POST, OPTIONS, DELETE, PATCH, get, and PUT.',
  ),
  attempt('odd_requests.py', 'head-method', 'call', 'The method is HEAD.'),
  attempt('odd_requests.py', 'other-spellings', 'call', 'The path is written in six other ways.'),
  attempt(
    'odd_requests.py',
    'refused-by-status',
    'call',
    'The service refuses the call with each of six statuses.',
  ),
  attempt('odd_requests.py', 'slow-answer', 'call', 'The answer takes a second.'),
];

export const ORDINARY_SOCKETS: Evasion[] = [
  attempt('ordinary_sockets.py', 'fast-open', 'call', 'The request travels with the SYN (TCP Fast Open).'),
  attempt('ordinary_sockets.py', 'multipath', 'call', 'The socket is one of multipath TCP.'),
  attempt('ordinary_sockets.py', 'ipv6', 'call', 'The call goes to the IPv6 endpoint.'),
  attempt(
    'ordinary_sockets.py',
    'ipv6-extension-headers',
    'call',
    'The packets have IPv6 options, where the kernel lets an ordinary user set them.',
  ),
  attempt(
    'ordinary_sockets.py',
    'mapped-address',
    'call',
    'The socket is an IPv6 one with a mapped IPv4 address.',
  ),
  attempt('ordinary_sockets.py', 'ip-options', 'call', 'Every packet has IP options.'),
  attempt('ordinary_sockets.py', 'small-segments', 'call', 'No segment is larger than 88 bytes.'),
  attempt('ordinary_sockets.py', 'tiny-window', 'call', 'The receive buffer is as small as it can be.'),
  attempt(
    'ordinary_sockets.py',
    'urgent-byte-in-the-name',
    'call',
    'A byte that completes the name of the token header is urgent data.',
  ),
  attempt(
    'ordinary_sockets.py',
    'urgent-byte-in-the-name-missing',
    'call',
    `The same byte is urgent, ${REFUSED}.`,
  ),
  attempt('ordinary_sockets.py', 'half-close', 'call', 'The client ends its side before the answer.'),
  attempt(
    'ordinary_sockets.py',
    'reset-after-the-request',
    'call',
    'The client resets the connection right behind its request.',
  ),
  attempt('ordinary_sockets.py', 'closed-unread', 'call', 'The client closes and reads no answer.'),
  attempt('ordinary_sockets.py', 'asked-by-a-child', 'call', 'A child asks on the connection of its parent.'),
  attempt(
    'ordinary_sockets.py',
    'asked-by-a-stranger',
    'call',
    'Another process gets the socket by a message, and its maker has ended.',
  ),
  attempt('ordinary_sockets.py', 'gone-at-once', 'call', 'The caller ends right behind its request.'),
  attempt('ordinary_sockets.py', 'two-hundred-processes', 'either', 'Two hundred processes call at once.'),
  attempt(
    'ordinary_sockets.py',
    'four-hundred-connections',
    'either',
    'Four hundred connections ask at once.',
  ),
  attempt(
    'ordinary_sockets.py',
    'one-port-again-and-again',
    'call',
    'Twenty calls come from one port, each behind a reset.',
  ),
  attempt(
    'ordinary_sockets.py',
    'one-port-of-a-token-call',
    'call',
    'The call comes from the port of an IMDSv2 call that was reset.',
  ),
  attempt('ordinary_sockets.py', 'bound-to-the-device', 'call', 'The socket is bound to the device.'),
  attempt('ordinary_sockets.py', 'sent-from-a-file', 'call', 'The kernel sends the request from a file.'),
  attempt(
    'ordinary_sockets.py',
    'kept-alive-for-many',
    'call',
    'Calls with and without a token alternate on one connection.',
  ),
  attempt('ordinary_sockets.py', 'non-blocking-connect', 'call', 'The socket connects in the background.'),
  attempt(
    'ordinary_sockets.py',
    'connected-twice',
    'call',
    'The socket of an IMDSv2 call is disconnected and connected again.',
  ),
];
