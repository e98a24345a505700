/**
 * IMDSv2 in two requests, for code that sends plain HTTP. Each snippet ends if it gets no token. Code that
 * goes on with an empty token falls back to IMDSv1 unnoticed (measured with curl).
 */
import type { Language, Step } from './step.ts';

const SHELL = `TOKEN=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600' http://169.254.169.254/latest/api/token) || exit 1
curl -sf -H "X-aws-ec2-metadata-token: $TOKEN" http://169.254.169.254/latest/meta-data/instance-id`;

const WGET = `TOKEN=$(wget -qO- --method=PUT --header='X-aws-ec2-metadata-token-ttl-seconds: 21600' http://169.254.169.254/latest/api/token) || exit 1
wget -qO- --header="X-aws-ec2-metadata-token: $TOKEN" http://169.254.169.254/latest/meta-data/instance-id`;

const PYTHON_REQUESTS = `token = requests.put("http://169.254.169.254/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "21600"}, timeout=2); token.raise_for_status()
answer = requests.get("http://169.254.169.254/latest/meta-data/instance-id", headers={"X-aws-ec2-metadata-token": token.text}, timeout=2)`;

const SNIPPETS: Partial<Record<Language, string>> = {
  shell: SHELL,
  python: `token = urllib.request.urlopen(urllib.request.Request("http://169.254.169.254/latest/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "21600"}), timeout=2).read().decode()
answer = urllib.request.urlopen(urllib.request.Request("http://169.254.169.254/latest/meta-data/instance-id", headers={"X-aws-ec2-metadata-token": token}), timeout=2).read()`,
  javascript: `const token = await fetch('http://169.254.169.254/latest/api/token', { method: 'PUT', headers: { 'X-aws-ec2-metadata-token-ttl-seconds': '21600' } }).then((r) => (r.ok ? r.text() : Promise.reject(new Error(\`token: \${r.status}\`))));
const answer = await fetch('http://169.254.169.254/latest/meta-data/instance-id', { headers: { 'X-aws-ec2-metadata-token': token } });`,
  go: `client := imds.New(imds.Options{}) // github.com/aws/aws-sdk-go-v2/feature/ec2/imds
answer, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: "instance-id"})`,
  java: `String token = client.send(HttpRequest.newBuilder(URI.create("http://169.254.169.254/latest/api/token")).header("X-aws-ec2-metadata-token-ttl-seconds", "21600").PUT(HttpRequest.BodyPublishers.noBody()).build(), HttpResponse.BodyHandlers.ofString()).body(); // check that the status is 200
String answer = client.send(HttpRequest.newBuilder(URI.create("http://169.254.169.254/latest/meta-data/instance-id")).header("X-aws-ec2-metadata-token", token).build(), HttpResponse.BodyHandlers.ofString()).body();`,
  ruby: `token = Net::HTTP.start('169.254.169.254') { |http| http.send_request('PUT', '/latest/api/token', '', 'X-aws-ec2-metadata-token-ttl-seconds' => '21600').tap(&:value).body }
answer = Net::HTTP.start('169.254.169.254') { |http| http.get('/latest/meta-data/instance-id', 'X-aws-ec2-metadata-token' => token).body }`,
  php: `$token = file_get_contents('http://169.254.169.254/latest/api/token', false, stream_context_create(['http' => ['method' => 'PUT', 'header' => 'X-aws-ec2-metadata-token-ttl-seconds: 21600']])) ?: throw new RuntimeException('no token');
$answer = file_get_contents('http://169.254.169.254/latest/meta-data/instance-id', false, stream_context_create(['http' => ['header' => "X-aws-ec2-metadata-token: $token"]]));`,
  perl: `my $token = HTTP::Tiny->new->put('http://169.254.169.254/latest/api/token', { headers => { 'X-aws-ec2-metadata-token-ttl-seconds' => 21600 } }); die 'no token' unless $token->{success};
my $answer = HTTP::Tiny->new->get('http://169.254.169.254/latest/meta-data/instance-id', { headers => { 'X-aws-ec2-metadata-token' => $token->{content} } });`,
};

/** `product` is the HTTP library or program that the user agent names, if any. */
export function tokenSnippet(language: Language | null, product: string | null): Step {
  const known = language !== null && SNIPPETS[language] !== undefined ? language : 'shell';
  const code =
    product === 'requests'
      ? PYTHON_REQUESTS
      : product === 'Wget' || product === 'wget2'
        ? WGET
        : SNIPPETS[known]!;
  return { text: 'Ask for a token first, and send it with every request.', code, language: known };
}
