/**
 * Programs that contain an SDK. Their teams cannot update the SDK: they update the program. Its own releases
 * are not judged here, because the user agent names the release of the SDK. The patterns of programs are
 * those of the vendors' packages and images.
 */
export interface EmbeddingProgram {
  name: string;
  /** Patterns that are compared with the executable, the script and the image's repository. */
  programs: readonly RegExp[];
  /** Patterns of user agents. */
  userAgents: readonly RegExp[];
  /** Reference for the fact that it contains an SDK. */
  source: string;
}

function program(name: string, file: string, source: string, userAgents: readonly RegExp[] = []) {
  return { name, programs: [new RegExp(`(^|/)(${file})$`)], userAgents, source };
}

export const EMBEDDING_PROGRAMS: readonly EmbeddingProgram[] = [
  program('Consul', 'consul', 'hashicorp/consul issue 6862 (go-discover and the SDK for Go)'),
  program('Nomad', 'nomad', 'hashicorp/go-discover pull request 128'),
  program('Vault', 'vault', 'hashicorp/vault pull request 7458 (SDK for Go)'),
  program('Terraform', 'terraform|terraform-provider-aws[\\w.]*', 'hashicorp/aws-sdk-go-base CHANGELOG.md', [
    /\bTerraform\/\d/,
  ]),
  program('Packer', 'packer|packer-plugin-amazon[\\w.]*', 'hashicorp/packer issue 11398 (SDK for Go)', [
    /\bPacker\/\d/,
  ]),
  program(
    'kubelet',
    'kubelet',
    'kubernetes/cloud-provider-aws issue 625, pkg/providers/v1/aws_sdk.go (SDK for Go)',
  ),
  program(
    'the AWS cloud controller manager',
    'aws-cloud-controller-manager',
    'kubernetes/cloud-provider-aws pkg/providers/v1/aws_sdk.go (SDK for Go)',
  ),
  program(
    'Cluster Autoscaler',
    'cluster-autoscaler',
    'kubernetes/autoscaler issues 3592 and 6963 (SDK for Go)',
  ),
  program(
    'the EBS CSI driver',
    'aws-ebs-csi-driver',
    'kubernetes-sigs/aws-ebs-csi-driver issue 2966 (SDK for Go)',
  ),
  program('Prometheus', 'prometheus', 'measured: release 2.42 contains AWS SDK for Go 1.44.133'),
  program('Telegraf', 'telegraf', 'influxdata/telegraf plugins/processors/aws/ec2/ec2.go (SDK for Go)'),
  program('Teleport', 'teleport', 'gravitational/teleport pull requests 39363 and 39366 (SDK for Go)'),
  program(
    'the Amazon ECS agent',
    'amazon-ecs-agent|amazon/amazon-ecs-agent',
    'aws/amazon-ecs-agent ecs-agent/ec2/ec2_metadata_client.go (SDK for Go)',
  ),
  program(
    'amazon-ecr-credential-helper',
    'docker-credential-ecr-login',
    'measured: release 0.6.0 contains AWS SDK for Go v2 1.17.1',
  ),
  program(
    'the CloudWatch agent',
    'amazon-cloudwatch-agent|cloudwatch-agent',
    'aws/amazon-cloudwatch-agent issue 480 (SDK for Go)',
  ),
  {
    name: 'the CodeDeploy agent',
    programs: [/^\/opt\/codedeploy-agent\/|(^|\/)codedeploy-agent$/],
    userAgents: [],
    source: 'aws/aws-codedeploy-agent lib/instance_metadata.rb; before 1.2.1 it contains the SDK for Ruby 2',
  },
  {
    name: 'Logstash',
    programs: [/(^|\/)logstash(\/|$)/],
    userAgents: [],
    source: 'logstash-plugins mixin aws (SDK for Ruby 2, under JRuby)',
  },
  {
    name: 'Elasticsearch',
    programs: [/(^|\/)elasticsearch(\/|$)/],
    userAgents: [],
    source: 'elastic/elasticsearch pull requests 122062 and 126843 (SDK for Java in discovery-ec2)',
  },
  {
    name: 'Jenkins',
    programs: [/(^|\/)jenkins(\.war|\/|$)/],
    userAgents: [],
    source: 'jenkinsci/aws-credentials-plugin, aws-java-sdk-plugin (SDK for Java)',
  },
];

/** Returns the program that contains the SDK, by its own name or by its user agents. */
export function embeddingProgram(
  names: readonly (string | null)[],
  userAgents: readonly string[],
): EmbeddingProgram | null {
  return (
    EMBEDDING_PROGRAMS.find(
      ({ programs, userAgents: patterns }) =>
        names.some((name) => name !== null && programs.some((pattern) => pattern.test(name))) ||
        userAgents.some((text) => patterns.some((pattern) => pattern.test(text))),
    ) ?? null
  );
}
