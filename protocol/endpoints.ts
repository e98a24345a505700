/** The instance metadata service's addresses and header names. Source: AWS EC2 user guide, "Use IMDS". */
export const IMDS_IPV4 = '169.254.169.254';
export const IMDS_IPV6 = 'fd00:ec2::254';
export const IMDS_PORT = 80;
/** Its presence on a request, in any case, makes the request IMDSv2. */
export const TOKEN_HEADER = 'x-aws-ec2-metadata-token';
/** Asks for a token's lifetime on `PUT`; on an answer it is the service's own word that the request was IMDSv2. */
export const TOKEN_TTL_HEADER = 'x-aws-ec2-metadata-token-ttl-seconds';
