/** The demo's account in the lab's cloud: two hosts with agents, their Auto Scaling groups, and an instance without an agent. */
import { join } from 'node:path';
import { MetadataLink } from './cloud/metadata_link.ts';
import { addInstance, addTemplate, type LabInstance, type LabRegion } from './cloud/state.ts';
import { CloudApi, type ReceivedCall } from './cloud_api.ts';
import type { Lab } from './lab.ts';
import { portOutOf } from './relay.ts';

export const DEMO_ACCOUNT = '111122223333';
export const DEMO_REGION = 'eu-central-1';
const IMAGE = 'ami-0123456789abcdef0';
const DAY_MS = 86_400_000;
const INSTANCES_AGE_DAYS = 60;
/** AWS gives no duration; recorded answers were applied after some seconds. */
const PENDING_MS = 1000;
/** The cloud's port on the loopback of the operator's host, which nothing else uses there. */
const PORT = 8788;

export interface DemoHost {
  id: string;
  name: string;
  tags: Record<string, string>;
}

function demoHost(id: string, group: string, number: number): DemoHost {
  return {
    id,
    name: `${group}-${number}`,
    tags: { 'aws:autoscaling:groupName': group, 'aws:ec2launchtemplate:id': `lt-${group}` },
  };
}

/** The host on which the story's callers run. */
export const WEB = demoHost('i-0123456789abcdef1', 'web', 1);
/** The host whose programs all use tokens. */
export const API = demoHost('i-0123456789abcdef2', 'api', 1);
const WITHOUT_AGENT = demoHost('i-0123456789abcdef3', 'api', 2);

export class DemoCloud {
  readonly #api: CloudApi;
  readonly #region: LabRegion;
  readonly #links: readonly MetadataLink[];

  private constructor(api: CloudApi, region: LabRegion, links: readonly MetadataLink[]) {
    this.#api = api;
    this.#region = region;
    this.#links = links;
  }

  /** Starts the cloud. Programs on the host of `web` reach it; there is no way from it to any other network. */
  static async start(web: Lab, api: Lab): Promise<DemoCloud> {
    const links = [new MetadataLink(web.metadata, WEB.id), new MetadataLink(api.metadata, API.id)];
    const path = join(web.home, 'cloud.sock');
    const cloud = await CloudApi.start({
      path,
      applied: async (instance) => void (await Promise.all(links.map((link) => link.applied(instance)))),
    });
    cloud.state.pendingMs = PENDING_MS;
    const region = cloud.state.region(DEMO_ACCOUNT, DEMO_REGION);
    fill(region, Date.now() - INSTANCES_AGE_DAYS * DAY_MS);
    web.addPart({ close: () => cloud.close(), closeNow: () => void cloud.close() });
    await portOutOf(web, PORT, path);
    return new DemoCloud(cloud, region, links);
  }

  /** Environment of a program on the host of `web` that uses this cloud as an operator. */
  get environment(): Record<string, string> {
    return {
      ...this.#api.environment(DEMO_ACCOUNT, `http://127.0.0.1:${PORT}`),
      AWS_REGION: DEMO_REGION,
    };
  }

  instance(id: string): LabInstance {
    return this.#region.instances.get(id)!;
  }

  /** Adds the calls so far to CloudWatch's metrics, as the metadata services have logged them. */
  async count(): Promise<void> {
    for (const link of this.#links) await link.count(this.#region);
  }

  /** Returns the calls that changed something in the cloud or tried to, without dry runs. */
  writes(): ReceivedCall[] {
    return this.#api.calls.filter(
      ({ action, parameters }) => !/^(Describe|Get)/.test(action) && parameters['DryRun'] === undefined,
    );
  }

  /** Returns what went wrong in the cloud itself. */
  problems(): string[] {
    return this.#api.problems.map((problem) => `the lab's cloud: ${(problem as Error).message}`);
  }
}

function fill(region: LabRegion, launchedMs: number): void {
  region.images.set(IMAGE, { imdsSupport: null });
  for (const { id, tags } of [WEB, API, WITHOUT_AGENT]) {
    addInstance(region, id, { tags: { ...tags }, imageId: IMAGE, launchedMs });
  }
  for (const members of [[WEB], [API, WITHOUT_AGENT]]) {
    const { tags } = members[0]!;
    const name = tags['aws:autoscaling:groupName']!;
    const id = tags['aws:ec2launchtemplate:id']!;
    addTemplate(region, id, { ImageId: IMAGE });
    region.groups.set(name, {
      name,
      template: { id, version: null },
      launchConfiguration: null,
      mixed: null,
      instances: members.map((member) => member.id),
    });
    for (const member of members) {
      region.activities.push({
        group: name,
        description: `Launching a new EC2 instance: ${member.id}`,
        status: 'Successful',
        startMs: launchedMs,
        endMs: launchedMs + 60_000,
      });
    }
  }
}
