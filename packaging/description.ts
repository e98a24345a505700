/** Defines the descriptions and the metadata of packages. */
export const SUMMARY = 'finds which process on an EC2 host still calls IMDSv1';
export const DESCRIPTION = [
  'imdswatch watches the traffic between an EC2 host and its instance metadata',
  'service, tells IMDSv1 from IMDSv2 request by request, and names the process,',
  'container, pod and systemd unit that made each. Agents report to a collector,',
  'which says who still calls IMDSv1, and which hosts are proven safe for',
  'HttpTokens=required. The package has agent, collector and command line in it,',
  'with the Node.js that they run on.',
];

/** Configuration files, and the group that may read them besides root. */
export const CONFIGURATION = [
  { path: '/etc/imdswatch/agent.yaml', command: 'agent', group: 'imdswatch-agent' },
  { path: '/etc/imdswatch/collector.yaml', command: 'collector', group: 'imdswatch-collector' },
] as const;
