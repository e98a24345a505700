/** Joins the lab's cloud with a lab's metadata service: its options decide how the service answers. */
import type { SeenRequest } from '../ground_truth.ts';
import type { MetadataHandle } from '../metadata_handle.ts';
import { countCalls, type LabInstance, type LabRegion, type Options } from './state.ts';

/** Follows the changes of one instance. Pass `applied` to `CloudApi.start`. */
export class MetadataLink {
  readonly #service: MetadataHandle;
  readonly #instanceId: string;
  #countedSeq = 0;

  constructor(service: MetadataHandle, instanceId: string) {
    this.#service = service;
    this.#instanceId = instanceId;
  }

  /** Resolves when the service answers by the options. */
  readonly applied = async ({ id, options }: LabInstance): Promise<void> => {
    if (id === this.#instanceId) await this.follow(options);
  };

  /** Lets the service answer by these options, for the beginning of a lab. */
  async follow(options: Options): Promise<void> {
    await this.#service.set({
      httpTokens: options.HttpTokens,
      httpEndpoint: options.HttpEndpoint,
      putResponseHopLimit: options.HttpPutResponseHopLimit,
      instanceTags: options.InstanceMetadataTags,
    });
  }

  /** Adds the requests since the last call of this to CloudWatch's metrics of the instance. */
  async count(region: LabRegion): Promise<void> {
    for (const request of await this.#service.log()) {
      if (request.seq <= this.#countedSeq) continue;
      this.#countedSeq = request.seq;
      const metric = metricOf(request);
      if (metric !== null) countCalls(region, metric, this.#instanceId, Date.parse(request.time), 1);
    }
  }
}

/** CloudWatch counts calls without a token that succeed, and those that are refused (EC2 user guide, metrics). */
function metricOf({ version, status }: SeenRequest): 'MetadataNoToken' | 'MetadataNoTokenRejected' | null {
  if (version !== 1 || status === null) return null;
  if (status === 401) return 'MetadataNoTokenRejected';
  return status >= 200 && status < 300 ? 'MetadataNoToken' : null;
}
