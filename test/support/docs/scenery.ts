/** Prepares what the reader of a document has before typing its first command. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Authority } from '../collector/access/certificates.ts';
import type { Stage } from './stage.ts';

const CLOUD = join(import.meta.dirname, 'cloud.ts');

/** Documents for whoever has a collector that has been told of something. */
const WITH_COLLECTOR = ['api.md', 'operate.md', 'enforce.md', 'security.md'];

export async function prepare(document: string, stage: Stage): Promise<void> {
  if (document === 'README.md') await must(stage, CAPTURE_FILE);
  if (document === 'install.md') {
    await certificates(stage);
    // Users as the package's own scripts create them.
    await must(stage, 'useradd --system imdswatch-agent; useradd --system imdswatch-collector');
  }
  if (!WITH_COLLECTOR.includes(document)) return;
  await certificates(stage);
  await must(stage, CONFIGURATION);
  if (document === 'operate.md') await stage.keep(RECEIVER, ['receives']);
  await stage.keep('imdswatch collector --config /etc/imdswatch/collector.yaml', [
    'the collector is listening',
  ]);
  await must(stage, 'imdswatch token create --kind enrolment --name test > /etc/imdswatch/enrolment-token');
  await stage.keep('imdswatch agent --config /etc/imdswatch/agent.yaml', ['the agent watches', 'connected']);
  await must(stage, CALLS);
  if (document === 'enforce.md') {
    await must(stage, CLOUD_FILES);
    await stage.keep(`exec "$NODE" --disable-warning=ExperimentalWarning "${CLOUD}" aws.sh`, [
      'the cloud answers',
    ]);
    await must(stage, '. ./aws.sh');
  }
  await stage.until('imdswatch offenders --json', (output) => output.includes('/usr/bin/curl'));
}

/** Certificates for the names in the documents, of an authority that curl and Node trust here as they do public ones. */
async function certificates(stage: Stage): Promise<void> {
  const authority = new Authority(stage.home);
  const { certFile, keyFile } = authority.issue('tls', {
    subject: '/CN=collector.example.com',
    alternatives: 'DNS:collector.example.com,DNS:soc.example.com',
    usage: 'serverAuth',
  });
  await stage.put('/etc/imdswatch/tls.crt', readFileSync(certFile, 'utf8'));
  await stage.put('/etc/imdswatch/tls.key', readFileSync(keyFile, 'utf8'));
  await stage.put('/etc/public.crt', readFileSync(authority.certFile, 'utf8'));
  await must(stage, 'export CURL_CA_BUNDLE=/etc/public.crt NODE_EXTRA_CA_CERTS=/etc/public.crt');
}

const CAPTURE_FILE = `
tcpdump -i any -U -w capture.pcap host 169.254.169.254 2> tcpdump.log &
until grep -q listening tcpdump.log; do sleep 0.05; done
curl -s -o /dev/null http://169.254.169.254/latest/meta-data/instance-id
sleep 0.3
kill $! && wait`;

/** A webhook's other end. */
const RECEIVER = `exec "$NODE" -e '
const { readFileSync } = require("node:fs");
const files = { cert: readFileSync("/etc/imdswatch/tls.crt"), key: readFileSync("/etc/imdswatch/tls.key") };
require("node:https")
  .createServer(files, (request, response) => request.resume().on("end", () => response.writeHead(204).end()))
  .listen(443, "127.0.0.1", () => console.log("receives"));
process.on("SIGINT", () => process.exit());'`;

const CONFIGURATION = `
cat > /etc/imdswatch/collector.yaml <<'END'
listen: 0.0.0.0:8787
public_url: https://collector.example.com:8787
tls_cert_file: /etc/imdswatch/tls.crt
tls_key_file: /etc/imdswatch/tls.key
END
cat > /etc/imdswatch/agent.yaml <<'END'
collector_url: wss://collector.example.com:8787
agent_token_file: /etc/imdswatch/enrolment-token
host_id: i-0123456789abcdef0
host_name: web-7
host_account: "111122223333"
host_region: eu-central-1
host_tags: [team=payments, env=prod]
END`;

const CALLS = `
for path in instance-id iam/security-credentials/lab-instance-role; do
  curl -s -o /dev/null http://169.254.169.254/latest/meta-data/$path
done`;

/** Counts in the form of the AWS CLI: two calls in the current hour, and none in the one before. */
const CLOUD_FILES = `
times=$(date -u -d '1 hour ago' '+"%Y-%m-%dT%H:00:00+00:00"'),$(date -u '+"%Y-%m-%dT%H:00:00+00:00"')
result='"Id":"no_token","Label":"i-0123456789abcdef0 MetadataNoToken 3600","StatusCode":"Complete"'
printf '{"MetricDataResults":[{%s,"Timestamps":[%s],"Values":[0,2]}]}' "$result" "$times" > no_token.json
options='{"State":"applied","HttpTokens":"optional","HttpPutResponseHopLimit":1}'
printf '{"Reservations":[{"Instances":[{"InstanceId":"%s","MetadataOptions":%s}]}]}' i-0123456789abcdef0 "$options" \\
  > instances.json`;

async function must(stage: Stage, script: string): Promise<void> {
  const { status, output } = await stage.run(script);
  if (status !== 0) throw new Error(`${script}\nended with ${status} and said:\n${output}`);
}
