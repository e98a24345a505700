/** Metadata calls in source files: what is one, and what only looks like one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { findSourceCalls } from '../../../../scan/callers/source_calls.ts';
import { type SourceLanguage, SYNTAXES } from '../../../../scan/callers/source_lexer.ts';

const U = 'http://169.254.169.254/latest/meta-data/instance-id';

/** Expected: the kinds of the call sites, in order. */
type Row = readonly [why: string, text: string, ...kinds: ('request' | 'address' | 'client')[]];

const ROWS: Record<Exclude<SourceLanguage, 'hcl'>, readonly Row[]> = {
  python: [
    ['requests', `import requests\nprint(1)\nr = requests.get("${U}", timeout=2)`, 'request'],
    ['urllib', `id = urllib.request.urlopen('${U}').read()`, 'request'],
    ['urllib2 of Python 2', `urllib2.urlopen('${U}')`, 'request'],
    ['httpx', `httpx.get("${U}")`, 'request'],
    ['aiohttp session', `async with session.get("${U}") as answer:\n    pass`, 'request'],
    ['http.client', 'c = http.client.HTTPConnection("169.254.169.254", timeout=1)', 'request'],
    ['socket', 's.connect(("169.254.169.254", 80))', 'request'],
    ['constant', `URL = "${U}"\ndef f():\n    return requests.get(URL).text`, 'request'],
    [
      'constant with a path added',
      'BASE = "http://169.254.169.254"\nx = requests.get(BASE + "/latest/user-data")',
      'request',
    ],
    [
      'f-string',
      'BASE = "http://169.254.169.254/latest"\nx = requests.get(f"{BASE}/meta-data/ami-id")',
      'request',
    ],
    [
      'two steps',
      'HOST = "169.254.169.254"\nurl = "http://" + HOST + "/latest/"\nrequests.get(url)',
      'request',
    ],
    [
      'attribute',
      `class A:\n    def __init__(self):\n        self.url = "${U}"\n    def f(self):\n        return requests.get(self.url)`,
      'request',
    ],
    ['default argument', `def f(url="${U}"):\n    return requests.get(url)`, 'request'],
    ['Request object', `req = urllib.request.Request("${U}")\nurllib.request.urlopen(req)`, 'request'],
    ['several lines', `r = requests.get(\n    "${U}",\n    timeout=1,\n)`, 'request'],
    ['IPv6', 'requests.get("http://[fd00:ec2::254]/latest/meta-data/")', 'request'],
    ['name', 'requests.get("http://instance-data/latest/meta-data/")', 'request'],
    ['curl by the shell', `subprocess.check_output("curl -s ${U}", shell=True)`, 'request'],
    ['curl by a list', `subprocess.run(["curl", "-s", "${U}"])`, 'request'],
    ['os.popen', `os.popen('wget -qO- ${U}').read()`, 'request'],
    ['environment default', `URL = os.environ.get("IMDS", "${U}")\nrequests.get(URL)`, 'request'],
    [
      'only the token is asked for',
      't = requests.put("http://169.254.169.254/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}).text\nr = requests.get("http://169.254.169.254/latest/meta-data/")',
      'request',
    ],
    [
      'token beside a call without one',
      `h = {"X-aws-ec2-metadata-token": t}\nrequests.get("${U}", headers=h)\nrequests.get("${U}")`,
      'request',
    ],
    [
      'class attribute',
      `class M:\n    URL = "${U}"\n    def f(self):\n        return requests.get(self.URL + "x")`,
      'request',
    ],
    ['unknown function', `fetch_metadata("${U}")`, 'address'],
    ['constant that nothing here uses', `METADATA_URL = "${U}"`, 'address'],
    ['comment', `# requests.get("${U}")`],
    ['comment behind code', `x = 1  # see ${U}`],
    ['docstring', `def f():\n    """Asks\n\n    curl ${U}\n    """\n    return 1`],
    ['module docstring', `"""Reads ${U}."""\nimport os`],
    ['with a token', `requests.get("${U}", headers={"X-aws-ec2-metadata-token": token})`],
    ['with a token in a session', `s.headers.update({"X-aws-ec2-metadata-token": token})\ns.get("${U}")`],
    ['token in lower case', `requests.get("${U}", headers={"x-aws-ec2-metadata-token": token})`],
    [
      'token request alone',
      'requests.put("http://169.254.169.254/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})',
    ],
    [
      'block list',
      'BLOCKED = ["169.254.169.254", "metadata.google.internal"]\nif host in BLOCKED:\n    raise ValueError(host)',
    ],
    ['network', 'ipaddress.ip_network("169.254.169.254/32")'],
    ['other address', 'requests.get("http://169.254.169.2541/latest/")'],
    ['ECS task credentials', 'requests.get("http://169.254.170.2/v2/credentials/x")'],
    [
      'Google',
      'requests.get("http://169.254.169.254/computeMetadata/v1/", headers={"Metadata-Flavor": "Google"})',
    ],
    [
      'Azure',
      'requests.get("http://169.254.169.254/metadata/instance?api-version=2021-02-01", headers={"Metadata": "true"})',
    ],
    [
      'Azure with a base',
      'B = "http://169.254.169.254"\nrequests.get(B + "/metadata/instance", headers={"Metadata": "true"})',
    ],
    ['DigitalOcean', 'requests.get("http://169.254.169.254/metadata/v1/id")'],
    ['OpenStack', 'requests.get("http://169.254.169.254/openstack/latest/meta_data.json")'],
    ['Oracle', 'requests.get("http://169.254.169.254/opc/v1/instance/")'],
    ['printed hint', `print("try curl ${U}")`],
    ['no proxy', 'os.environ["NO_PROXY"] = "169.254.169.254,localhost"'],
  ],
  javascript: [
    ['fetch', `const id = await fetch('${U}').then((r) => r.text());`, 'request'],
    ['axios', `const { data } = await axios.get("${U}");`, 'request'],
    ['axios with options', `await axios({ method: 'get', url: '${U}' });`, 'request'],
    ['axios instance', "const imds = axios.create({ baseURL: 'http://169.254.169.254/latest' });", 'request'],
    ['http.get', `http.get('${U}', (res) => {});`, 'request'],
    [
      'http.request with options',
      "http.request({ host: '169.254.169.254', path: '/latest/meta-data/' }, () => {});",
      'request',
    ],
    [
      'options in a variable',
      "const options = { hostname: '169.254.169.254', path: '/latest/meta-data/' };\nhttp.get(options, done);",
      'request',
    ],
    ['got', `got('${U}')`, 'request'],
    ['request', `request('${U}', function (e, r, body) {});`, 'request'],
    ['superagent', `superagent.get('${U}').end()`, 'request'],
    [
      'template',
      "const HOST = '169.254.169.254';\nawait fetch(`http://${HOST}/latest/meta-data/`);",
      'request',
    ],
    [
      'inside a callback',
      `describe('x', () => {\n  it('y', async () => {\n    const r = await fetch('${U}');\n  });\n});`,
      'request',
    ],
    ['exec of curl', `execSync('curl -s ${U}')`, 'request'],
    ['spawn of curl', `spawn('curl', ['-s', '${U}'])`, 'request'],
    ['URL object', `const url = new URL('${U}');\nhttps.get(url);`, 'request'],
    [
      'TypeScript constant',
      `export const METADATA: string = '${U}';\nexport async function id(): Promise<string> {\n  return (await fetch(METADATA)).text();\n}`,
      'request',
    ],
    ['constant in an object', `const C = { METADATA_URL: '${U}' };\nfetch(C.METADATA_URL);`, 'request'],
    [
      'token beside a call without one',
      `fetch('${U}', { headers: { 'X-aws-ec2-metadata-token': t } });\nfetch('${U}');`,
      'request',
    ],
    ['exported constant', `module.exports = '${U}';`, 'address'],
    ['line comment', `// fetch('${U}')`],
    ['block comment', `/**\n * fetch('${U}')\n */\nx();`],
    ['regular expression before a string', `const a = /https?:\\/\\//;\nfoo('# not');`],
    ['with a token', `fetch('${U}', { headers: { 'X-aws-ec2-metadata-token': token } });`],
    [
      'with a token in a variable',
      `const headers = { 'x-aws-ec2-metadata-token': token };\nhttp.get({ host: '169.254.169.254', path: '/latest/meta-data/', headers });`,
    ],
    ['test of a proxy', `expect(await post('/proxy', { body: { url: '${U}' } }))`, 'address'],
    ['block list', "const BLOCKED = new Set(['169.254.169.254', '127.0.0.1']);"],
    [
      'Google',
      "fetch('http://169.254.169.254/computeMetadata/v1/instance/id', { headers: { 'Metadata-Flavor': 'Google' } })",
    ],
  ],
  go: [
    ['http.Get', `resp, err := http.Get("${U}")`, 'request'],
    ['NewRequest', `req, err := http.NewRequest("GET", "${U}", nil)`, 'request'],
    [
      'constant',
      `const metadataURL = "${U}"\n\nfunc f() {\n\tresp, err := http.Get(metadataURL)\n}`,
      'request',
    ],
    [
      'constant in a group',
      `const (\n\tmetadataURL = "http://169.254.169.254/latest/"\n)\n\nfunc f() {\n\tresp, err := client.Get(metadataURL + "meta-data/")\n}`,
      'request',
    ],
    [
      'Sprintf',
      'url := fmt.Sprintf("http://%s/latest/meta-data/%s", "169.254.169.254", path)\nresp, _ := http.Get(url)',
      'request',
    ],
    ['raw string', 'http.Get(`http://169.254.169.254/latest/user-data`)', 'request'],
    ['exec', `exec.Command("curl", "-s", "${U}").Output()`, 'request'],
    ['Dial', 'net.Dial("tcp", "169.254.169.254:80")', 'request'],
    [
      'with a token',
      `req, _ := http.NewRequest("GET", "${U}", nil)\nreq.Header.Set("X-aws-ec2-metadata-token", token)`,
    ],
    ['comment', `// http.Get("${U}")`],
    ['network policy', 'Except: []string{"169.254.169.254/32"},'],
  ],
  ruby: [
    ['Net::HTTP.get', `id = Net::HTTP.get(URI.parse('${U}'))`, 'request'],
    ['open-uri', `URI.open('${U}').read`, 'request'],
    ['open of old Ruby', `instance = open('${U}').read`, 'request'],
    ['Net::HTTP.start', "Net::HTTP.start('169.254.169.254') { |h| h.get('/latest/meta-data/') }", 'request'],
    ['backticks', `id = \`curl -s ${U}\``, 'request'],
    ['constant', `URL = '${U}'.freeze\ndef id\n  Net::HTTP.get(URI(URL))\nend`, 'request'],
    ['Faraday', `Faraday.get('${U}')`, 'request'],
    ['with a token', `http.get('${U}', { 'X-aws-ec2-metadata-token' => token })\nh = open('${U}', headers)`],
    ['comment', `# Net::HTTP.get(URI('${U}'))`],
    ['block comment', `x = 1\n=begin\nURI.open('${U}')\n=end\n`],
  ],
  php: [
    ['file_get_contents', `<?php $id = file_get_contents('${U}');`, 'request'],
    ['curl_init', `<?php $ch = curl_init("${U}");`, 'request'],
    ['curl_setopt', `<?php curl_setopt($ch, CURLOPT_URL, "${U}");`, 'request'],
    ['Guzzle', `<?php $client->get('${U}');`, 'request'],
    ['variable', `<?php $url = '${U}';\n$x = file_get_contents($url);`, 'request'],
    ['define', `<?php define('IMDS', '${U}');\nfile_get_contents(IMDS);`, 'request'],
    ['shell_exec', `<?php shell_exec('curl -s ${U}');`, 'request'],
    [
      'with a token',
      `<?php $c = stream_context_create(['http' => ['header' => "X-aws-ec2-metadata-token: $t"]]);\nfile_get_contents('${U}', false, $c);`,
    ],
    ['comment', `<?php // file_get_contents('${U}')\n# also ${U}\n/* ${U} */`],
  ],
  java: [
    [
      'URL',
      `String id = new BufferedReader(new InputStreamReader(new URL("${U}").openStream())).readLine();`,
      'request',
    ],
    [
      'HttpRequest',
      `HttpRequest r = HttpRequest.newBuilder().uri(URI.create("${U}")).GET().build();`,
      'request',
    ],
    ['RestTemplate', `restTemplate.getForObject("${U}", String.class);`, 'request'],
    ['OkHttp', `Request r = new Request.Builder().url("${U}").build();`, 'request'],
    ['HttpGet', `HttpGet get = new HttpGet("${U}");`, 'request'],
    [
      'constant',
      `private static final String URL_ID = "${U}";\nString f() { return http.get(URL_ID); }`,
      'request',
    ],
    [
      'URL in a variable',
      `URL url = new URL("${U}");\nHttpURLConnection c = (HttpURLConnection) url.openConnection();`,
      'request',
    ],
    ['Kotlin', `val id = URL("${U}").readText()`, 'request'],
    [
      'with a token',
      `HttpRequest.newBuilder(URI.create("${U}")).header("X-aws-ec2-metadata-token", token).build();`,
    ],
    ['comment', `/* new URL("${U}") */ // ${U}`],
  ],
  csharp: [
    ['HttpClient', `var id = await client.GetStringAsync("${U}");`, 'request'],
    ['WebClient', `new WebClient().DownloadString("${U}");`, 'request'],
    ['WebRequest', `var request = WebRequest.Create("${U}");`, 'request'],
    [
      'constant',
      `private const string Url = "${U}";\npublic Task<string> Id() => client.GetStringAsync(Url);`,
      'request',
    ],
    ['verbatim string', `var x = client.GetStringAsync(@"${U}");`, 'request'],
    [
      'interpolation',
      'const string Host = "169.254.169.254";\nclient.GetAsync($"http://{Host}/latest/meta-data/");',
      'request',
    ],
    ['with a token', `request.Headers.Add("X-aws-ec2-metadata-token", token);\nclient.GetAsync("${U}");`],
    ['comment', `// client.GetStringAsync("${U}")`],
  ],
  perl: [
    ['LWP::Simple', `my $id = get('${U}');`, 'request'],
    ['LWP', `my $r = $ua->get("${U}");`, 'request'],
    ['backticks', `my $id = \`curl -s ${U}\`;`, 'request'],
    ['comment', `# get('${U}')\nmy $x = 1;`],
  ],
  powershell: [
    ['Invoke-RestMethod', `$id = Invoke-RestMethod -Uri ${U}`, 'request'],
    ['Invoke-WebRequest, quoted', `(Invoke-WebRequest -UseBasicParsing -Uri "${U}").Content`, 'request'],
    ['alias', `$id = iwr ${U}`, 'request'],
    ['WebClient', `(New-Object System.Net.WebClient).DownloadString("${U}")`, 'request'],
    ['variable', `$uri = "${U}"\nInvoke-RestMethod -Uri $uri`, 'request'],
    [
      'with a token',
      `Invoke-RestMethod -Headers @{"X-aws-ec2-metadata-token" = $token} -Method GET -Uri ${U}`,
    ],
    [
      'token request',
      '[string]$token = Invoke-RestMethod -Headers @{"X-aws-ec2-metadata-token-ttl-seconds" = "21600"} -Method PUT -Uri http://169.254.169.254/latest/api/token',
    ],
    ['comment', `# Invoke-RestMethod ${U}\n<# ${U} #>`],
  ],
  rust: [
    ['reqwest', `let id = reqwest::blocking::get("${U}")?.text()?;`, 'request'],
    ['constant', `const URL: &str = "${U}";\nfn f() { reqwest::get(URL); }`, 'request'],
    ['lifetime before a comment', `fn f<'a>(x: &'a str) {} // ${U}`],
  ],
  c: [
    ['libcurl', `curl_easy_setopt(curl, CURLOPT_URL, "${U}");`, 'request'],
    ['macro', `#define IMDS "${U}"\nvoid f(void) { curl_easy_setopt(curl, CURLOPT_URL, IMDS); }`, 'request'],
    ['comment', `/* ${U} */`],
  ],
};

for (const language of Object.keys(ROWS) as (keyof typeof ROWS)[]) {
  describe(`calls in ${language}`, () => {
    for (const [why, text, ...kinds] of ROWS[language]) {
      test(`${kinds.length === 0 ? 'no call' : kinds.join(', ')}: ${why}`, () => {
        const found = findSourceCalls(text, language);
        assert.deepEqual(
          found.map(({ kind }) => kind),
          kinds,
          JSON.stringify(found),
        );
        for (const { start, end, scopeStart, scopeEnd } of found) {
          assert.ok(scopeStart <= start && start < end && end <= scopeEnd && scopeEnd <= text.length);
        }
      });
    }
  });
}

describe('positions', () => {
  test('name the URL', () => {
    const text = `import requests\n\nr = requests.get("${U}")\n`;
    const [site] = findSourceCalls(text, 'python');
    assert.equal(text.slice(site!.start, site!.end), U);
    assert.equal(text.slice(site!.scopeStart, site!.scopeEnd), `r = requests.get("${U}"`);
    assert.equal(site!.by, 'requests.get');
  });

  test('name the variable where the call uses one', () => {
    const text = `URL = "${U}"\nrequests.get(URL)\n`;
    const [site] = findSourceCalls(text, 'python');
    assert.equal(text.slice(site!.start, site!.end), 'URL');
    assert.equal(site!.start, text.lastIndexOf('URL'));
  });
});

describe('any text', () => {
  const languages = Object.keys(SYNTAXES) as SourceLanguage[];
  const piece = fc.oneof(
    fc.constantFrom(
      U,
      '169.254.169.254',
      '[fd00:ec2::254]',
      '"',
      "'",
      '`',
      '"""',
      '(',
      ')',
      '{',
      '}',
      '\n',
      '#',
      '//',
      '/*',
      '*/',
    ),
    fc.constantFrom(
      'requests.get',
      'fetch',
      'x = ',
      'curl ',
      'X-aws-ec2-metadata-token',
      '\\',
      '$',
      ';',
      '=begin',
      '\r\n',
      '@"',
      '<#',
    ),
    fc.string({ maxLength: 5 }),
  );

  test('is read without an error, and positions lie inside it', () => {
    fc.assert(
      fc.property(fc.constantFrom(...languages), fc.array(piece, { maxLength: 40 }), (language, pieces) => {
        const text = pieces.join('');
        for (const { start, end, scopeStart, scopeEnd } of findSourceCalls(text, language)) {
          assert.ok(
            0 <= scopeStart &&
              scopeStart <= start &&
              start < end &&
              end <= scopeEnd &&
              scopeEnd <= text.length,
          );
        }
      }),
      { numRuns: 500 },
    );
  });
});
