/** Facts of hosts in their cloud that several shapes need. */

/** Returns whether an id is that of an EC2 instance. A host may also have an id of its operator's choice. */
export function isInstanceId(id: string): boolean {
  return /^i-[0-9a-f]{8,17}$/.test(id);
}

/** Returns the partition of a Region, the second part of an ARN (AWS IAM user guide, "Amazon Resource Names"). */
export function partitionOf(region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn';
  if (region.startsWith('us-gov-')) return 'aws-us-gov';
  if (region.startsWith('us-isob-')) return 'aws-iso-b';
  if (region.startsWith('us-iso-')) return 'aws-iso';
  if (region.startsWith('eusc-')) return 'aws-eusc';
  return 'aws';
}
