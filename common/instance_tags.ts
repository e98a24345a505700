/**
 * Tags that AWS sets on instances. Sources: EC2 Auto Scaling user guide, "Tag Auto Scaling groups and instances"; EC2
 * user guide, launch templates; EKS user guide, node groups.
 */

export const SCALING_GROUP_TAG = 'aws:autoscaling:groupName';
export const TEMPLATE_TAG = 'aws:ec2launchtemplate:id';
export const TEMPLATE_VERSION_TAG = 'aws:ec2launchtemplate:version';
export const NODE_GROUP_TAG = 'eks:nodegroup-name';
