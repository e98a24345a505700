/**
 * Endpoints of credentials and metadata: their addresses, and the header names of the instance metadata
 * service.
 */

/** Source: AWS EC2 user guide, "Use IMDS". */
export const IMDS_IPV4 = '169.254.169.254';
export const IMDS_IPV6 = 'fd00:ec2::254';
export const IMDS_PORT = 80;
/** Its presence on a request, in any case, makes the request IMDSv2. */
export const TOKEN_HEADER = 'x-aws-ec2-metadata-token';
/**
 * Requests a token's lifetime on `PUT`. On an answer it confirms that the request was IMDSv2.
 */
export const TOKEN_TTL_HEADER = 'x-aws-ec2-metadata-token-ttl-seconds';

/** The value of `Server` on the metadata service's answers, as public transcripts of 2020 to 2025 show it. */
export const SERVICE_NAME = 'EC2ws';

/** Services that give credentials on a link-local address, as the setting `endpoints` names them. */
export const ENDPOINT_SERVICES = ['imds', 'ecs', 'eks'] as const;
export type EndpointService = (typeof ENDPOINT_SERVICES)[number];

export interface Endpoint {
  service: EndpointService;
  /** The value of a call's `imds.endpoint`. */
  name: 'ipv4' | 'ipv6' | 'ecs' | 'eks';
  address: string;
}

/**
 * All of them, each on port 80. Sources: AWS ECS developer guide, "Task IAM role" (the agent's credentials
 * endpoint 169.254.170.2), EKS user guide, "EKS Pod Identity" (its agent's 169.254.170.23 and fd00:ec2::23).
 */
export const ENDPOINTS: readonly Endpoint[] = [
  { service: 'imds', name: 'ipv4', address: IMDS_IPV4 },
  { service: 'imds', name: 'ipv6', address: IMDS_IPV6 },
  { service: 'ecs', name: 'ecs', address: '169.254.170.2' },
  { service: 'eks', name: 'eks', address: '169.254.170.23' },
  { service: 'eks', name: 'eks', address: 'fd00:ec2::23' },
];

/** Those of the chosen services, by their address in canonical text. */
export function endpointsOf(services: readonly EndpointService[]): Map<string, Endpoint> {
  return new Map(
    ENDPOINTS.filter(({ service }) => services.includes(service)).map((endpoint) => [
      endpoint.address,
      endpoint,
    ]),
  );
}
