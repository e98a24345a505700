/**
 * Tells who owns an instance, and which lever changes it for good. Pure. Sources: user guides of the services; the tags
 * of Karpenter are from its documentation.
 */

import { SCALING_GROUP_TAG } from '../../common/instance_tags.ts';
import type { OwnerFacts } from '../cloud.ts';

export interface Owner {
  name: string;
  /** Whole sentence: what to change instead. */
  lever: string;
  /** Never by this program, whatever the operator says. */
  isForbidden: boolean;
}

interface Rule {
  /** A tag's key, or the start of several keys. */
  tag: string;
  name: string;
  lever: string;
}

const RULES: readonly Rule[] = [
  {
    tag: 'elasticbeanstalk:',
    name: 'Elastic Beanstalk',
    lever:
      'Set the option DisableIMDSv1 in the namespace aws:autoscaling:launchconfiguration of the environment.',
  },
  {
    tag: 'aws:elasticmapreduce:',
    name: 'EMR',
    lever:
      'Set MinimumInstanceMetadataServiceVersion 2 in a security configuration, and start new clusters with it.',
  },
  {
    tag: 'karpenter.sh/',
    name: 'Karpenter',
    lever: 'Set spec.metadataOptions of the EC2NodeClass. Karpenter then replaces the nodes.',
  },
  {
    tag: 'parallelcluster:',
    name: 'ParallelCluster',
    lever: 'Set Imds.ImdsSupport in the configuration of a new cluster. It cannot be changed on this one.',
  },
  {
    tag: 'aws:batch:',
    name: 'AWS Batch',
    lever: 'Change the launch template of the compute environment, and update its infrastructure.',
  },
];
const STACK_TAG = 'aws:cloudformation:stack-name';

/** Returns the owner that would undo a change of the instance itself, or null where it may be changed. */
export function ownerOfInstance({ tags, operator }: OwnerFacts): Owner | null {
  if (operator !== null) {
    return {
      name: operator,
      lever: `It is managed by ${operator}. Use the settings of that service.`,
      isForbidden: true,
    };
  }
  const service = serviceOf(tags);
  if (service !== null) return service;
  // An instance of an Auto Scaling group is no resource of a stack. Its template may be.
  if (tags[SCALING_GROUP_TAG] !== undefined) return null;
  return stackOf(tags);
}

/** Returns the owner of the template that instances with these tags were launched from. */
export function ownerOfTemplate(members: readonly Readonly<Record<string, string>>[]): Owner | null {
  for (const tags of members) {
    const eks = tags['eks:nodegroup-name'];
    if (eks !== undefined) {
      return {
        name: `the EKS node group ${eks}`,
        lever:
          "Update the node group to a new version of its own launch template. If it has none, make a new node group. EKS's own template must not be edited.",
        isForbidden: true,
      };
    }
    const owner = serviceOf(tags) ?? stackOf(tags);
    if (owner !== null) return owner;
  }
  return null;
}

function serviceOf(tags: Readonly<Record<string, string>>): Owner | null {
  const keys = Object.keys(tags);
  const rule = RULES.find(({ tag }) => keys.some((key) => key.startsWith(tag)));
  return rule === undefined ? null : { name: rule.name, lever: rule.lever, isForbidden: false };
}

function stackOf(tags: Readonly<Record<string, string>>): Owner | null {
  const stack = tags[STACK_TAG];
  if (stack === undefined) return null;
  return {
    name: `the CloudFormation stack ${stack}`,
    lever: `Change it in the template of the stack ${stack}. Otherwise it is drift, and the next update may undo it.`,
    isForbidden: false,
  };
}
