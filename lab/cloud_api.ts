/**
 * Plays AWS for the real SDK: EC2 (Query, XML), Auto Scaling and STS (Query), and CloudWatch (JSON), as far as
 * imdswatch uses them. A call or a parameter that is not known here is refused, never ignored. No emulator
 * does this: those that have the call at all make changes in a dry run, or reset the options that are left out.
 *
 * The semantics are those of the API references, and of recorded answers. Nothing here was tried against a real
 * account.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import * as autoScaling from './cloud/auto_scaling.ts';
import { describeAlarms, getMetricData } from './cloud/cloudwatch.ts';
import * as instances from './cloud/ec2_instances.ts';
import * as templates from './cloud/ec2_templates.ts';
import { ApiError, type ApiRequest, type ElementParts, parameterTree, xml } from './cloud/request.ts';
import { CloudState, type LabInstance } from './cloud/state.ts';

const SERVICES: Record<string, ApiRequest['service']> = {
  ec2: 'ec2',
  autoscaling: 'autoscaling',
  sts: 'sts',
  monitoring: 'monitoring',
};
const CREDENTIAL = /Credential=(?:AKIALAB|ASIALAB)(\d{12})\/\d{8}\/([a-z0-9-]+)\/([a-z0-9]+)\/aws4_request/;

const EC2: Record<string, (context: instances.Ec2Context, request: ApiRequest) => ElementParts> = {
  DescribeInstances: instances.describeInstances,
  ModifyInstanceMetadataOptions: instances.modifyInstance,
  DescribeImages: instances.describeImages,
  GetInstanceMetadataDefaults: instances.getDefaults,
  ModifyInstanceMetadataDefaults: instances.modifyDefaults,
  DescribeLaunchTemplates: templates.describeTemplates,
  DescribeLaunchTemplateVersions: templates.describeVersions,
  CreateLaunchTemplateVersion: templates.createVersion,
  ModifyLaunchTemplate: templates.modifyTemplate,
};
const QUERY: Record<string, (context: autoScaling.QueryContext, request: ApiRequest) => ElementParts> = {
  DescribeAutoScalingGroups: autoScaling.describeGroups,
  UpdateAutoScalingGroup: autoScaling.updateGroup,
  DescribeScalingActivities: autoScaling.describeActivities,
  DescribeInstanceRefreshes: autoScaling.describeRefreshes,
  DescribeLaunchConfigurations: autoScaling.describeLaunchConfigurations,
  GetCallerIdentity: autoScaling.callerIdentity,
  AssumeRole: autoScaling.assumeRole,
};

/** - `cut_before`, `cut_after`: the connection ends without an answer, before or after the call was carried out. */
export interface Fault {
  action: string;
  /** Number of calls that it concerns. */
  times: number;
  kind: 'throttle' | 'cut_before' | 'cut_after' | 'deny';
}

/** One call as the cloud received it, for tests to compare. */
export interface ReceivedCall extends ApiRequest {
  time: number;
  /** Code of the error, `ok`, or `cut`. */
  result: string;
}

export interface CloudApiOptions {
  /** Called when a change of a running instance takes effect. The change is pending until this resolves. */
  applied?: (instance: LabInstance) => void | Promise<void>;
  /** Listens on a socket in the file system, which network namespaces share. Default: a port of the loopback. */
  path?: string;
}

export class CloudApi {
  readonly state = new CloudState();
  readonly faults: Fault[] = [];
  readonly calls: ReceivedCall[] = [];
  readonly #server: Server;
  readonly #applied: CloudApiOptions['applied'];
  /** Errors of `applied`. */
  readonly problems: unknown[] = [];

  private constructor(options: CloudApiOptions) {
    this.#applied = options.applied;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(options: CloudApiOptions = {}): Promise<CloudApi> {
    const api = new CloudApi(options);
    await new Promise<void>((resolve, reject) => {
      api.#server.once('error', reject);
      api.#server.listen(
        options.path === undefined ? { port: 0, host: '127.0.0.1' } : { path: options.path },
        resolve,
      );
    });
    return api;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Environment in which the SDK uses this cloud with the credentials of an account. `url`: where it is reached. */
  environment(account: string, url: string = this.url): Record<string, string> {
    return {
      AWS_ENDPOINT_URL: url,
      AWS_ACCESS_KEY_ID: `AKIALAB${account}`,
      AWS_SECRET_ACCESS_KEY: 'lab-secret',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of message) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    const isJson = message.headers['x-amz-target'] !== undefined;
    response.setHeader('Date', new Date(Date.now() + this.state.clockAheadMs).toUTCString());
    let request: ApiRequest | null = null;
    let fault: Fault | undefined;
    try {
      request = readRequest(message, body);
      const { action } = request;
      await delay(this.state.latencyMs);
      fault = this.faults.find((candidate) => candidate.action === action && candidate.times > 0);
      if (fault !== undefined) fault.times -= 1;
      if (fault?.kind === 'cut_before') return this.#cut(message, request);
      const isOverLimit = action === 'ModifyInstanceMetadataOptions' && !this.state.mayChange(Date.now());
      if (fault?.kind === 'throttle' || isOverLimit) throw throttled(request);
      this.#refuseDenied(request, fault);
      const answer = this.#perform(request, body);
      if (fault?.kind === 'cut_after') return this.#cut(message, request);
      this.#note(request, 'ok');
      send(response, 200, isJson, answer);
    } catch (error) {
      const refused = error instanceof ApiError ? error : new ApiError('InternalError', String(error), 500);
      if (request !== null) this.#note(request, refused.code);
      send(response, refused.status, isJson, errorBody(refused, isJson, request));
    }
  }

  #note(request: ApiRequest, result: string): void {
    this.calls.push({ ...request, time: Date.now(), result });
  }

  #cut(message: IncomingMessage, request: ApiRequest): void {
    this.#note(request, 'cut');
    message.socket.destroy();
  }

  #refuseDenied({ action, parameters }: ApiRequest, fault: Fault | undefined): void {
    const isDenied = this.state.denied.some(
      (rule) =>
        rule.action === action &&
        Object.entries(rule.parameters).every(([name, value]) => parameters[name] === value),
    );
    if (isDenied || fault?.kind === 'deny') {
      const code = EC2[action] === undefined ? 'AccessDenied' : 'UnauthorizedOperation';
      throw new ApiError(code, `You are not authorized to perform this operation: ${action}.`, 403);
    }
  }

  #perform(request: ApiRequest, body: string): string {
    const { service, action, account } = request;
    const region = this.state.region(account, request.region);
    const { state } = this;
    const requestId = '00000000-0000-4000-8000-000000000000';
    if (service === 'monitoring') {
      if (action === 'GetMetricData') return JSON.stringify(getMetricData(state, region, JSON.parse(body)));
      if (action === 'DescribeAlarms') return JSON.stringify(describeAlarms(region, JSON.parse(body)));
    } else if (service === 'ec2') {
      const answered = EC2[action]?.({ state, region, applied: this.#apply }, request);
      if (answered !== undefined) return xml(`${action}Response`, { requestId, ...answered }, 'item');
    } else {
      const answered = QUERY[action]?.({ state, region }, request);
      if (answered !== undefined) {
        const parts = { [`${action}Result`]: answered, ResponseMetadata: { RequestId: requestId } };
        return xml(`${action}Response`, parts, 'member');
      }
    }
    throw new ApiError('InvalidAction', `The lab's cloud does not know the call ${action}.`);
  }

  readonly #apply = async (instance: LabInstance): Promise<void> => {
    try {
      await this.#applied?.(instance);
    } catch (error) {
      this.problems.push(error);
    }
  };
}

function readRequest(message: IncomingMessage, body: string): ApiRequest {
  const scope = CREDENTIAL.exec(message.headers.authorization ?? '');
  if (scope === null) throw new ApiError('AuthFailure', 'The credentials are not of this lab.', 401);
  const [, account = '', region = '', name = ''] = scope;
  const service = SERVICES[name];
  if (service === undefined) throw new ApiError('InvalidAction', `There is no service ${name}.`);
  const target = message.headers['x-amz-target'];
  const userAgent = message.headers['user-agent'] ?? '';
  if (typeof target === 'string') {
    const action = target.split('.').at(-1)!;
    return { service, action, parameters: {}, account, region, userAgent };
  }
  const { Action, Version: _version, ...parameters } = parameterTree(new URLSearchParams(body));
  if (typeof Action !== 'string') throw new ApiError('MissingAction', 'The request names no action.');
  return { service, action: Action, parameters, account, region, userAgent };
}

function throttled({ service }: ApiRequest): ApiError {
  return service === 'ec2'
    ? new ApiError('RequestLimitExceeded', 'Request limit exceeded.', 503)
    : new ApiError(
        service === 'sts' || service === 'autoscaling' ? 'Throttling' : 'ThrottlingException',
        'Rate exceeded',
        400,
      );
}

function errorBody({ code, message }: ApiError, isJson: boolean, request: ApiRequest | null): string {
  if (isJson) return JSON.stringify({ __type: `com.amazonaws#${code}`, message });
  const RequestID = '00000000-0000-4000-8000-000000000000';
  return request === null || request.service === 'ec2'
    ? xml('Response', { Errors: { Error: { Code: code, Message: message } }, RequestID }, 'item')
    : xml(
        'ErrorResponse',
        { Error: { Type: 'Sender', Code: code, Message: message }, RequestId: RequestID },
        'member',
      );
}

function send(response: ServerResponse, status: number, isJson: boolean, body: string): void {
  const type = isJson ? 'application/x-amz-json-1.0' : 'text/xml;charset=UTF-8';
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
