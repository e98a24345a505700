/**
 * IMDSv2 in two requests, for code that sends plain HTTP. Every snippet is run by
 * test/lab/snippets.test.ts with tokens granted, refused and unanswered, and with the service off. It waits
 * at most 2 s for each request, uses no proxy, and ends with an error instead of going on without a token.
 * Code that goes on with an empty token falls back to IMDSv1 unnoticed (measured with curl).
 */
import type { Language, Step } from './step.ts';

const SHELL = `TOKEN=$(curl -sf --noproxy '*' --max-time 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600' http://169.254.169.254/latest/api/token) && [ -n "$TOKEN" ] || exit 1
curl -sf --noproxy '*' --max-time 2 -H "X-aws-ec2-metadata-token: $TOKEN" http://169.254.169.254/latest/meta-data/instance-id`;

const WGET = `TOKEN=$(wget -qO- --no-proxy --tries=1 --timeout=2 --method=PUT --header='X-aws-ec2-metadata-token-ttl-seconds: 21600' http://169.254.169.254/latest/api/token) && [ -n "$TOKEN" ] || exit 1
wget -qO- --no-proxy --tries=1 --timeout=2 --header="X-aws-ec2-metadata-token: $TOKEN" http://169.254.169.254/latest/meta-data/instance-id`;

const PYTHON_REQUESTS = `session = requests.Session()
session.trust_env = False  # no proxy
token = session.put("http://169.254.169.254/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "21600"}, timeout=2)
token.raise_for_status()
answer = session.get("http://169.254.169.254/latest/meta-data/instance-id", headers={"X-aws-ec2-metadata-token": token.text}, timeout=2)
answer.raise_for_status()`;

const PYTHON = `import urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy
def imds(method, path, headers):
    request = urllib.request.Request("http://169.254.169.254/latest/" + path, headers=headers, method=method)
    return opener.open(request, timeout=2).read().decode()
token = imds("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "21600"})
answer = imds("GET", "meta-data/instance-id", {"X-aws-ec2-metadata-token": token})`;

const JAVASCRIPT = `import http from 'node:http';
const imds = (method, path, headers) => new Promise((resolve, reject) => {
  const options = { method, headers, agent: false, signal: AbortSignal.timeout(2000) }; // no proxy
  const request = http.request(\`http://169.254.169.254/latest/\${path}\`, options, (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (text) => (body += text)).on('error', reject);
    response.on('end', () => (response.statusCode === 200 ? resolve(body) : reject(new Error(\`\${method} \${path}: \${response.statusCode}\`))));
  });
  request.on('error', reject).end();
});
const token = await imds('PUT', 'api/token', { 'X-aws-ec2-metadata-token-ttl-seconds': '21600' });
const answer = await imds('GET', 'meta-data/instance-id', { 'X-aws-ec2-metadata-token': token });`;

const GO = `func imds(method, path, header, value string) (string, error) {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{}} // no proxy
	request, err := http.NewRequest(method, "http://169.254.169.254/latest/"+path, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set(header, value)
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", errors.New(response.Status)
	}
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func instanceID() (string, error) {
	token, err := imds("PUT", "api/token", "X-aws-ec2-metadata-token-ttl-seconds", "21600")
	if err != nil {
		return "", err
	}
	return imds("GET", "meta-data/instance-id", "X-aws-ec2-metadata-token", token)
}`;

const JAVA = `HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).proxy(HttpClient.Builder.NO_PROXY).build();
HttpResponse<String> token = client.send(HttpRequest.newBuilder(URI.create("http://169.254.169.254/latest/api/token")).timeout(Duration.ofSeconds(2)).header("X-aws-ec2-metadata-token-ttl-seconds", "21600").PUT(HttpRequest.BodyPublishers.noBody()).build(), HttpResponse.BodyHandlers.ofString());
if (token.statusCode() != 200) throw new IOException("no token: " + token.statusCode());
HttpResponse<String> answer = client.send(HttpRequest.newBuilder(URI.create("http://169.254.169.254/latest/meta-data/instance-id")).timeout(Duration.ofSeconds(2)).header("X-aws-ec2-metadata-token", token.body()).build(), HttpResponse.BodyHandlers.ofString());
if (answer.statusCode() != 200) throw new IOException("no answer: " + answer.statusCode());`;

const RUBY = `require 'net/http'
http = Net::HTTP.new('169.254.169.254', 80, nil) # no proxy
http.open_timeout = http.read_timeout = 2
http.max_retries = 0
token = http.send_request('PUT', '/latest/api/token', '', 'X-aws-ec2-metadata-token-ttl-seconds' => '21600').tap(&:value).body
answer = http.get('/latest/meta-data/instance-id', 'X-aws-ec2-metadata-token' => token).tap(&:value).body`;

const PHP = `function imds(string $method, string $path, string $header): string {
    $options = ['method' => $method, 'header' => $header, 'timeout' => 2];
    $body = file_get_contents("http://169.254.169.254/latest/$path", false, stream_context_create(['http' => $options]));
    if ($body === false) throw new RuntimeException("$method $path failed");
    return $body;
}
$token = imds('PUT', 'api/token', 'X-aws-ec2-metadata-token-ttl-seconds: 21600');
$answer = imds('GET', 'meta-data/instance-id', "X-aws-ec2-metadata-token: $token");`;

const PERL = `use HTTP::Tiny;
my $http = HTTP::Tiny->new(timeout => 2, http_proxy => undef); # no proxy
my $token = $http->put('http://169.254.169.254/latest/api/token', { headers => { 'X-aws-ec2-metadata-token-ttl-seconds' => 21600 } });
die "no token: $token->{status}" unless $token->{success};
my $answer = $http->get('http://169.254.169.254/latest/meta-data/instance-id', { headers => { 'X-aws-ec2-metadata-token' => $token->{content} } });
die "no answer: $answer->{status}" unless $answer->{success};`;

/** Every snippet by its name. Those of a language are named like it. */
export const SNIPPETS = {
  shell: SHELL,
  wget: WGET,
  python: PYTHON,
  requests: PYTHON_REQUESTS,
  javascript: JAVASCRIPT,
  go: GO,
  java: JAVA,
  ruby: RUBY,
  php: PHP,
  perl: PERL,
} as const;
export type SnippetName = keyof typeof SNIPPETS;

const LANGUAGE_OF: Record<SnippetName, Language> = {
  shell: 'shell',
  wget: 'shell',
  python: 'python',
  requests: 'python',
  javascript: 'javascript',
  go: 'go',
  java: 'java',
  ruby: 'ruby',
  php: 'php',
  perl: 'perl',
};

/**
 * Returns the step with the snippet. `product` is the HTTP library or program that the user agent names, and
 * `version` its release, if any. BusyBox's wget names no release, and has no option for a PUT request.
 */
export function tokenSnippet(
  language: Language | null,
  product: string | null,
  version: string | null = null,
): Step {
  const name = snippetFor(language, product, version);
  const isBusyBox = product === 'Wget' && version === null;
  return {
    text: isBusyBox
      ? 'Ask for a token first, and send it with every request. The wget of BusyBox cannot: use curl.'
      : 'Ask for a token first, and send it with every request.',
    code: SNIPPETS[name],
    language: LANGUAGE_OF[name],
  };
}

function snippetFor(language: Language | null, product: string | null, version: string | null): SnippetName {
  if (product === 'requests') return 'requests';
  if (product === 'Wget' && version !== null) return 'wget';
  return language !== null && language in SNIPPETS ? (language as SnippetName) : 'shell';
}

/**
 * Value of `NO_PROXY` for both endpoints. Some clients compare an IPv6 address with its brackets (Python's
 * urllib, Node.js, HTTP::Tiny), others without (curl, wget, requests): measured by test/lab/snippets.test.ts.
 * Ruby's Net::HTTP knows neither form.
 */
export const NO_PROXY = '169.254.169.254,fd00:ec2::254,[fd00:ec2::254]';
