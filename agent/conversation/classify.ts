/**
 * Decides what an exchange means: IMDSv1 or IMDSv2, and which metadata was requested.
 *
 * Sources: AWS EC2 user guide, "Use the Instance Metadata Service to access instance metadata" (PUT
 * /latest/api/token, X-aws-ec2-metadata-token, the categories of instance metadata).
 */
import type { ImdsCategory, ImdsKind } from '../../protocol/call.ts';
import type { Exchange, ExchangeRequest } from './exchange.ts';
import { type Place, placeOf } from './place.ts';

export interface Classification {
  version: 1 | 2;
  kind: ImdsKind;
  category: ImdsCategory;
  role: string | null;
  serverVersion: 1 | 2 | null;
}

/** The classification of an exchange with an endpoint that has no versions. */
export interface UnversionedClassification extends Omit<Classification, 'version' | 'serverVersion'> {
  version: null;
  serverVersion: null;
}

/** Classifies an exchange with the instance metadata service. */
export function classify(exchange: Exchange): Classification {
  const { request, response } = exchange;
  const { role } = placeIn(request).imds;
  const category = imdsCategoryOf(exchange);
  const isTokenRequest = request.method === 'PUT' && category === 'token';
  const serverVersion = response === null || response.status >= 400 ? null : response.hasTokenTtl ? 2 : 1;
  let version: 1 | 2;
  // The service may have read other bytes than these. Only its own verdict makes the call IMDSv2.
  if (request.form === 'ambiguous') version = serverVersion ?? 1;
  else if (request.hasToken || isTokenRequest) version = 2;
  // A part of the head is missing, so the token may be in it. The service had the whole head: its verdict
  // counts.
  else version = request.isWhole ? 1 : (serverVersion ?? 1);
  const kind = isTokenRequest ? 'token' : kindOf(request.method);
  return { version, kind, category, role, serverVersion };
}

/**
 * Returns the category by what EC2's service would answer. A request for another cloud gets nothing of EC2
 * there: a 404, or for `/` the list of versions. A path that the service serves is a use of it, whatever
 * other header the request carries.
 */
function imdsCategoryOf({ request, response }: Exchange): ImdsCategory {
  const { imds, served } = placeIn(request);
  const isProbe =
    imds.category === 'other-cloud' ||
    (served !== 'tree' && request.hasOtherCloudsHeader === true) ||
    isServerProbe(request, served);
  if (!isProbe) return imds.category;
  // The service may have read another request than this one. Then only its refusal shows that it gave nothing.
  const isCertain = request.form === 'plain' && request.isWhole;
  const gaveNothing = request.form === 'odd' && response !== null && response.status >= 400;
  if (isCertain || gaveNothing) return 'other-cloud';
  return imds.category === 'other-cloud' ? 'other' : imds.category;
}

/**
 * Returns whether a request asks only which server this is. Its answer has no body, and the header `Server`
 * is in a refusal too (tailscale/tailscale, util/cloudenv).
 */
function isServerProbe({ method }: ExchangeRequest, served: Place['served']): boolean {
  return method === 'HEAD' && served === 'versions';
}

/**
 * Returns whether a call passes for IMDSv2 without proof: its request is not strictly formed, and the service
 * gave no verdict of its own. The service shows its verdict only with a success.
 */
export function isUnproven({ request }: Exchange, { version, serverVersion }: Classification): boolean {
  return version === 2 && serverVersion === null && request.form !== 'plain';
}

/** Returns whether a request asks for a session token. */
export function asksForToken(request: ExchangeRequest): boolean {
  return request.method === 'PUT' && placeIn(request).imds.category === 'token';
}

/**
 * Classifies an exchange with the credentials endpoints of ECS tasks and EKS pods. They have no versions 1
 * and 2, and no role in a path.
 *
 * Sources: AWS ECS developer guide, "Task IAM role" (`/v2/credentials/<id>`) and "Task metadata endpoint"
 * (`/v3/<id>/…`, `/v4/<id>/…`, `/v2/metadata`, `/v2/stats`); EKS user guide, "EKS Pod Identity"
 * (`/v1/credentials`).
 */
export function classifyCredentialsEndpoint({ request }: Exchange): UnversionedClassification {
  return {
    version: null,
    kind: kindOf(request.method),
    category: placeIn(request).credentials,
    role: null,
    serverVersion: null,
  };
}

function placeIn({ place, path }: ExchangeRequest): Place {
  return place ?? placeOf(path);
}

function kindOf(method: string | null): 'read' | 'other' {
  return method === 'GET' || method === 'HEAD' ? 'read' : 'other';
}
