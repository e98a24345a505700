/**
 * Attempts with raw packets, by a user with CAP_NET_RAW and nothing else: what container engines give to every container.
 * Their programs are in raw_packets.py, under the same names. A packet that never arrives goes to an Ethernet address that
 * nobody has: the host's capture sees it, and the service does not.
 */
import type { Evasion } from './evasion_lab.ts';
import type { End } from './outcome.ts';

/** An attempt of a program beside this file, under the same name. */
function attempt(program: string, name: string, end: End, tries: string): Evasion {
  const act: Evasion['act'] = async ({ attackers }, tag) => {
    await attackers.withRawSockets(program, name.replaceAll('-', '_'), tag);
  };
  return { name, tries, end, act };
}

const REFUSED = 'and the service answers 404, which confirms nothing';

export const FORGED_ENDS: Evasion[] = [
  attempt(
    'forged_ends.py',
    'reset-with-bad-checksum',
    'call',
    'A reset with a bad checksum stands before the call.',
  ),
  attempt(
    'forged_ends.py',
    'reset-before-anything-with-bad-checksum',
    'call',
    'The same is the first thing on the connection.',
  ),
  attempt(
    'forged_ends.py',
    'reset-outside-the-window',
    'call',
    'A reset outside the window stands before the call.',
  ),
  attempt(
    'forged_ends.py',
    'reset-ahead-in-the-window',
    'call',
    'A reset that is only challenged (RFC 5961) stands before the call.',
  ),
  attempt(
    'forged_ends.py',
    'reset-that-never-arrives',
    'call',
    'A right reset that never arrives stands before the call.',
  ),
  attempt(
    'forged_ends.py',
    'reset-before-anything-that-never-arrives',
    'call',
    'The same is the first thing on the connection.',
  ),
  attempt(
    'forged_ends.py',
    'reset-of-the-server-that-never-arrives',
    'call',
    'The service seems to reset the connection.',
  ),
  attempt('forged_ends.py', 'reset-of-the-server-with-bad-checksum', 'call', 'The same with a bad checksum.'),
  attempt('forged_ends.py', 'end-that-never-arrives', 'call', 'The client seems to end its side.'),
  attempt('forged_ends.py', 'end-with-bad-checksum', 'call', 'The same with a bad checksum.'),
  attempt(
    'forged_ends.py',
    'end-of-the-server-that-never-arrives',
    'call',
    'The service seems to end its side.',
  ),
  attempt(
    'forged_ends.py',
    'both-ends-that-never-arrive',
    'call',
    'Both sides seem to end the connection, acknowledged.',
  ),
  attempt(
    'forged_ends.py',
    'new-syn-with-bad-checksum',
    'call',
    'A SYN with a bad checksum stands before the call.',
  ),
  attempt(
    'forged_ends.py',
    'new-syn-in-the-connection',
    'call',
    'A SYN that is only challenged stands before the call.',
  ),
  attempt(
    'forged_ends.py',
    'new-syn-that-never-arrives',
    'call',
    'A SYN that never arrives stands before the call.',
  ),
  attempt(
    'forged_ends.py',
    'new-handshake-that-never-arrives',
    'loss',
    'A whole handshake that never arrives stands before the call.',
  ),
  attempt(
    'forged_ends.py',
    'syn-before-anything-that-never-arrives',
    'call',
    'A second SYN stands before the first byte.',
  ),
  attempt(
    'forged_ends.py',
    'second-syn-ack',
    'call',
    'The service seems to answer the SYN again, with another number.',
  ),
  attempt(
    'forged_ends.py',
    'syn-ahead-of-the-connection',
    'call',
    'A SYN of the same port stands before the connection.',
  ),
];

export const FORGED_BYTES: Evasion[] = [
  attempt(
    'forged_bytes.py',
    'token-with-bad-checksum',
    'call',
    'A copy of the request with a token has a bad checksum.',
  ),
  attempt('forged_bytes.py', 'token-with-bad-checksum-missing', 'call', `The same, ${REFUSED}.`),
  attempt(
    'forged_bytes.py',
    'token-that-never-arrives',
    'call',
    'A copy of the request with a token never arrives.',
  ),
  attempt('forged_bytes.py', 'token-that-never-arrives-missing', 'call', `The same, ${REFUSED}.`),
  attempt(
    'forged_bytes.py',
    'other-path-that-never-arrives',
    'loss',
    'The copy has another path and a token.',
  ),
  attempt(
    'forged_bytes.py',
    'token-in-one-byte-missing',
    'call',
    `One byte of the header's name is forged, ${REFUSED}.`,
  ),
  attempt(
    'forged_bytes.py',
    'overlapping-and-arriving',
    'loss',
    'Two copies of the rest of the request overlap before its beginning comes.',
  ),
  attempt('forged_bytes.py', 'overlapping-and-arriving-missing', 'loss', `The same, ${REFUSED}.`),
  attempt(
    'forged_bytes.py',
    'decoy-out-of-order-missing',
    'call',
    `A forged rest of the request waits out of order, ${REFUSED}.`,
  ),
  attempt('forged_bytes.py', 'out-of-window-bytes', 'call', 'A token stands far outside the window.'),
  attempt(
    'forged_bytes.py',
    'older-timestamp-missing',
    'call',
    `A copy with a token has a time stamp of the past, ${REFUSED}.`,
  ),
  attempt(
    'forged_bytes.py',
    'without-acknowledgement-flag-missing',
    'call',
    `A copy with a token has no ACK flag, ${REFUSED}.`,
  ),
  attempt(
    'forged_bytes.py',
    'acknowledges-the-future-missing',
    'call',
    `A copy with a token acknowledges too much, ${REFUSED}.`,
  ),
  attempt(
    'forged_bytes.py',
    'urgent-pointer-over-the-request',
    'loss',
    'The urgent pointer covers the whole request.',
  ),
  attempt(
    'forged_bytes.py',
    'length-that-the-frame-does-not-have',
    'call',
    'A packet is shorter than it says.',
  ),
  attempt('forged_bytes.py', 'fragmented-request', 'loss', 'The request travels in IP fragments.'),
  attempt(
    'forged_bytes.py',
    'overlapping-fragments',
    'loss',
    'Each fragment of the request has a forged copy behind it.',
  ),
  attempt('forged_bytes.py', 'overlapping-fragments-missing', 'loss', `The same, ${REFUSED}.`),
];

export const FORGED_IPV6: Evasion[] = [
  attempt(
    'forged_ipv6.py',
    'ipv6-reset-that-never-arrives',
    'call',
    'A right reset that never arrives stands before the call.',
  ),
  attempt('forged_ipv6.py', 'ipv6-reset-with-bad-checksum', 'call', 'The same arrives with a bad checksum.'),
  attempt('forged_ipv6.py', 'ipv6-reset-outside-the-window', 'call', 'The same is outside the window.'),
  attempt(
    'forged_ipv6.py',
    'ipv6-token-that-never-arrives',
    'call',
    'A copy of the request with a token never arrives.',
  ),
  attempt(
    'forged_ipv6.py',
    'ipv6-token-with-bad-checksum-missing',
    'call',
    `The same arrives with a bad checksum, ${REFUSED}.`,
  ),
  attempt('forged_ipv6.py', 'ipv6-options-before-the-call', 'call', 'Destination options stand before TCP.'),
  attempt('forged_ipv6.py', 'ipv6-fragment-of-its-own', 'call', 'A single fragment holds the whole packet.'),
  attempt('forged_ipv6.py', 'ipv6-fragmented-request', 'loss', 'The request travels in IP fragments.'),
];

export const FORGED_ANSWERS: Evasion[] = [
  attempt(
    'forged_answers.py',
    'forged-answer-of-a-token-call',
    'call',
    'An answer that confirms IMDSv2 seems to come first.',
  ),
  attempt('forged_answers.py', 'forged-refusal', 'call', 'An answer of 401 seems to come first.'),
  attempt('forged_answers.py', 'forged-garbage', 'call', 'An answer that is no HTTP seems to come first.'),
  attempt('forged_answers.py', 'forged-interim-answers', 'loss', 'Ten interim answers seem to come first.'),
  attempt('forged_answers.py', 'forged-upgrade', 'call', 'The service seems to switch protocols.'),
  attempt(
    'forged_answers.py',
    'forged-upgrade-then-asked',
    'loss',
    'The service seems to have switched protocols before the call.',
  ),
  attempt(
    'forged_answers.py',
    'forged-preface-then-asked',
    'loss',
    'The client seems to have switched to HTTP/2 before the call.',
  ),
  attempt(
    'forged_answers.py',
    'forged-body-then-asked',
    'loss',
    'The call lies in the body of a forged request.',
  ),
  attempt(
    'forged_answers.py',
    'forged-acknowledgement',
    'loss',
    'The service seems to acknowledge what was never sent.',
  ),
  attempt(
    'forged_answers.py',
    'forged-data-of-the-server',
    'call',
    'The service seems to send bytes behind a hole.',
  ),
];

export const OTHER_SENDERS: Evasion[] = [
  attempt('other_senders.py', 'own-stack', 'call', 'A TCP of the attacker calls from an address of its own.'),
  attempt('other_senders.py', 'own-stack-with-vlan-tag-0', 'call', 'The same with a VLAN tag of number 0.'),
  attempt('other_senders.py', 'own-stack-with-two-vlan-tags', 'call', 'The same with two of these tags.'),
  // A kernel that finds the IP header behind all tags hands over the packet without them; others count a loss.
  attempt('other_senders.py', 'own-stack-with-four-vlan-tags', 'either', 'The same with four of these tags.'),
  attempt(
    'other_senders.py',
    'own-stack-after-a-copied-syn',
    'call',
    "The same with the SYN of another connection, as a translation's looks.",
  ),
  attempt(
    'other_senders.py',
    'own-stack-before-its-copy',
    'call',
    'The same behind a copy of its SYN from the host.',
  ),
  attempt('other_senders.py', 'fragmented-syn', 'loss', 'The whole connection travels in IP fragments.'),
  attempt('other_senders.py', 'half-open-flood', 'either', 'Twenty thousand SYNs stand before the call.'),
  attempt('other_senders.py', 'flood-of-garbage', 'either', 'The call lies in a flood of large segments.'),
];
