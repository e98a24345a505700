/** Names of functions and arguments that matter for metadata calls in sources. */

/** Last part of the names of functions, methods and constructors that send a request or open a connection. */
export const SENDS =
  /^(?:get|put|post|head|request|fetch|open|urlopen|urlretrieve|url_?open|Request|retrieve|download|stream|ajax|Get|Head|Post|Put|Do|NewRequest|NewRequestWithContext|Dial|DialTimeout|DialContext|connect|create_connection|open_connection|createConnection|HTTPConnection|HTTPSConnection|HTTP|get_response|get_print|start|uri|url|baseUrl|base_url|read|new|newBuilder|openStream|openConnection|URL|readText|readBytes|fromURL|getForObject|getForEntity|exchange|retrieve|Url|file_get_contents|curl_init|curl_setopt|fopen|readfile|fsockopen|stream_socket_client|get_headers|simplexml_load_file|Client|DownloadString(?:Async|TaskAsync)?|DownloadData|OpenRead|GetStringAsync|GetAsync|GetStreamAsync|GetByteArrayAsync|SendAsync|Create|CreateHttp|HttpRequestMessage|HttpGet|HttpPut|GET|RestClient|RestRequest|getstore|getprint|mirror|axios|got|needle|superagent|ky|undici|agent|curl_easy_setopt|create|extend|instance|Connection|PoolManager|ClientSession)$/;
/** Calls that run a command: a request only where the command is a client, which the shell's reader decides. */
export const RUNS =
  /^(?:system|exec|execSync|execFile|execFileSync|spawn|spawnSync|popen|Popen|run|call|check_call|check_output|getoutput|getstatusoutput|shell_exec|passthru|proc_open|Command|command|execute|capture2|capture2e|capture3|sh|bash|ProcessBuilder|Start|qx|x)$/;
export const PRINTS =
  /^(?:print|println|printf|fprintf|sprintf|puts|echo|log|info|warn|warning|error|debug|trace|fatal|Errorf|Printf|Println|Fatalf|Infof|Debugf|WriteLine|write|Error|Exception|ValueError|RuntimeError|raise|assert|assertEqual|assertEquals|describe|it|test)$/;
/** Calls whose argument is a default or a setting. The variable that gets it is followed. */
export const READS_SETTING =
  /environ|getenv|\benv\b|config|settings?\b|flags?\b|options?\b|argparse|add_argument|fetch_env|viper/i;
/** Names of arguments that are sent, not called. A URL in them is data, for example in a test of a proxy. */
export const DATA_ARGUMENT =
  /(?:json|data|params|body|payload|form|query|content|headers|proxies)["']?\s*(?:=|:|=>)\s*$/i;
/** Calls whose only argument is the URL: nothing else can carry a header. */
export const CANNOT_SEND_HEADER =
  /^(?:requests\.(?:get|head|request)|urllib\.request\.urlopen|urllib2\.urlopen|urlopen|fetch|http\.Get|http\.get|got|axios\.get|Net::HTTP\.get|file_get_contents|httpx\.get|WebClient|open-uri)$/;

/** Other forms of a constant: PHP's define, a key in capitals, C's macro. */
export const CONSTANTS = [
  /\bdefine\s*\(\s*["'](\w+)["']\s*,\s*["'][^"'\n]*$/,
  /(?:^|[\s{,([])["']?([A-Z][A-Z0-9_]{2,})["']?\s*(?::|=>)\s*["'`][^"'`\n]*$/,
  /^[ \t]*#define[ \t]+(\w+)[ \t]+["'][^\n]*$/,
] as const;
