/**
 * Lists the real clients: the program, the behaviour of the metadata service, and the calls that are
 * expected. Their requests were measured; the answers follow the EC2 user guide.
 *
 * The file is longer than others because it is one list.
 */
import { join } from 'node:path';
import { IMDS_IPV4, IMDS_IPV6 } from '../protocol/endpoints.ts';
import { credentialsBy, type ExpectedCall, PATHS, token, v1, v2 } from './expected_call.ts';
import type { Behaviour } from './ground_truth.ts';
import { CLIENTS_DIR, type Programs, SDKS_DIR } from './programs.ts';

export interface LabClient {
  name: string;
  /** One line for people who watch the demo. */
  says: string;
  argv: readonly string[];
  /** Path of the program that makes the calls, as /proc/PID/exe has it. */
  executable: string;
  /** The script that an interpreter runs; null for other programs. */
  script: string | null;
  /** The process that makes the calls: the started one, or its children. */
  caller: 'itself' | 'child';
  behaviour?: Partial<Behaviour>;
  calls: readonly ExpectedCall[];
  /** Needs the SDKs of lab/clients/package.json. */
  needsSdks?: true;
}

const URL4 = `http://${IMDS_IPV4}`;
const URL6 = `http://[${IMDS_IPV6}]`;
const KEEP_ALIVE: Partial<Behaviour> = { connection: 'keep-alive' };

/** Returns the EC2 user guide's snippet for IMDSv2, with `target` as the path that it reads. */
export function awsDocumentationSnippet(base: string, target: string): string {
  return (
    `TOKEN=$(curl -sf -X PUT "${base}${PATHS.token}" -H "X-aws-ec2-metadata-token-ttl-seconds: 21600") && ` +
    `curl -s -H "X-aws-ec2-metadata-token: $TOKEN" ${base}${target}`
  );
}

/** Returns all clients that this machine can run. `oneShot` is the built C program, or null. */
export function labClients(programs: Programs, oneShot: string | null): LabClient[] {
  const { curl, wget, bash, python3, node } = programs;
  const byCurl = (
    name: string,
    says: string,
    args: string[],
    calls: ExpectedCall[],
    behaviour?: Partial<Behaviour>,
  ) => client({ name, says, argv: [curl, '-s', ...args], executable: curl, calls, behaviour });
  const byScript = (
    name: string,
    says: string,
    interpreter: string,
    file: string,
    args: string[],
    calls: ExpectedCall[],
    behaviour?: Partial<Behaviour>,
    directory = CLIENTS_DIR,
  ) => {
    const script = join(directory, file);
    return client({
      name,
      says,
      argv: [interpreter, script, ...args],
      executable: interpreter,
      script,
      calls,
      behaviour,
    });
  };
  const bySdk = (
    name: string,
    says: string,
    file: string,
    calls: ExpectedCall[],
    behaviour?: Partial<Behaviour>,
  ) => ({
    ...byScript(name, says, node, file, [], calls, behaviour, SDKS_DIR),
    needsSdks: true as const,
  });
  const bySnippet = (name: string, says: string, base: string, endpoint: 'ipv4' | 'ipv6') =>
    client({
      name,
      says,
      argv: [bash, '-c', awsDocumentationSnippet(base, PATHS.instanceId)],
      executable: curl,
      caller: 'child',
      calls: [token({ endpoint }), v2(PATHS.instanceId, { endpoint })],
    });
  const raw = (way: string, says: string, calls: ExpectedCall[], behaviour?: Partial<Behaviour>) =>
    byScript(`python-${way}`, says, python3, 'raw_socket.py', [IMDS_IPV4, way], calls, behaviour);

  const id = `${URL4}${PATHS.instanceId}`;
  return [
    byCurl('curl-v1', 'curl asks for the instance id, without a token', [id], [v1(PATHS.instanceId)]),
    bySnippet('curl-v2', "the AWS documentation's curl snippet for IMDSv2", URL4, 'ipv4'),
    byCurl(
      'curl-head',
      'curl -I: HEAD is a read too',
      ['-I', id],
      [v1(PATHS.instanceId, { method: 'HEAD' })],
    ),
    byCurl('curl-http10', 'curl -0: HTTP/1.0', ['-0', id], [v1(PATHS.instanceId)]),
    byCurl(
      'curl-keep-alive',
      'curl reads three paths on one connection',
      [id, `${URL4}${PATHS.region}`, `${URL4}${PATHS.userData}`],
      [v1(PATHS.instanceId), v1(PATHS.region), v1(PATHS.userData, { category: 'user-data' })],
      KEEP_ALIVE,
    ),
    byCurl(
      'curl-credentials',
      'curl lists the role and takes its credentials',
      [`${URL4}${PATHS.roleList}`, `${URL4}${PATHS.credentials}`],
      credentialsBy(v1),
    ),
    byCurl(
      'curl-empty-token',
      'curl sends the token header with nothing in it',
      ['-H', 'X-aws-ec2-metadata-token;', id],
      [v2(PATHS.instanceId, { status: 401 })],
    ),
    byCurl(
      'curl-wrong-token',
      'curl sends a token that was never given out',
      ['-H', 'X-AWS-EC2-METADATA-TOKEN:invented', id],
      [v2(PATHS.instanceId, { status: 401 })],
    ),
    byCurl(
      'curl-token-name-in-path',
      "the token's name in the path is no token",
      [`${URL4}/latest/meta-data/x-aws-ec2-metadata-token`],
      [v1('/latest/meta-data/x-aws-ec2-metadata-token', { category: 'other', status: 404 })],
    ),
    byCurl(
      'curl-token-name-in-query',
      "the token's name in the query is no token",
      [`${id}?x-aws-ec2-metadata-token=invented`],
      [v1(`${PATHS.instanceId}?x-aws-ec2-metadata-token=invented`)],
    ),
    byCurl(
      'curl-token-name-in-other-header',
      "the token's name in another header's value is no token",
      ['-H', 'X-Note: x-aws-ec2-metadata-token: invented', id],
      [v1(PATHS.instanceId)],
    ),
    byCurl(
      'curl-token-name-in-user-agent',
      "the token's name in the user agent is no token",
      ['-A', 'x-aws-ec2-metadata-token: invented', id],
      [v1(PATHS.instanceId)],
    ),
    byCurl(
      'curl-ttl-header-on-get',
      'the ttl header on a GET is no token',
      ['-H', 'X-aws-ec2-metadata-token-ttl-seconds: 60', id],
      [v1(PATHS.instanceId)],
    ),
    byCurl(
      'curl-double-slash',
      'curl asks for //latest/…',
      ['--path-as-is', `${URL4}/${PATHS.roleList}`],
      [v1(`/${PATHS.roleList}`, { category: 'role-list' })],
    ),
    byCurl(
      'curl-percent-encoded',
      'curl asks for user data with an escaped letter',
      [`${URL4}/latest/user%2Ddata`],
      [v1('/latest/user%2Ddata', { category: 'user-data' })],
    ),
    byCurl(
      'curl-dated-version',
      'curl asks for the identity document by a dated version',
      [`${URL4}/2021-07-15/dynamic/instance-identity/document`],
      [v1('/2021-07-15/dynamic/instance-identity/document', { category: 'identity-document' })],
    ),
    byCurl(
      'curl-proxy',
      'curl takes the metadata service for a proxy',
      ['-x', `${URL4}:80`, id],
      [v1(`${URL4}${PATHS.instanceId}`)],
    ),
    byCurl('curl-h2c', 'curl offers HTTP/2', ['--http2', id], [v1(PATHS.instanceId)]),
    byCurl(
      'curl-forwarded-put',
      'a reverse proxy asks for a token and is refused',
      [
        '-X',
        'PUT',
        '-H',
        'X-Forwarded-For: 192.0.2.7',
        '-H',
        'X-aws-ec2-metadata-token-ttl-seconds: 60',
        `${URL4}${PATHS.token}`,
      ],
      [token({ status: 403 })],
    ),
    byCurl(
      'curl-post',
      'curl posts',
      ['-d', 'a=b', id],
      [v1(PATHS.instanceId, { method: 'POST', status: 405 })],
    ),
    byCurl(
      'curl-refused',
      'curl asks without a token where tokens are required',
      [id],
      [v1(PATHS.instanceId, { status: 401 })],
      { httpTokens: 'required' },
    ),
    byCurl(
      'curl-chunked-answer',
      'curl gets a chunked answer',
      [`${URL4}${PATHS.identityDocument}`],
      [v1(PATHS.identityDocument, { category: 'identity-document' })],
      { framing: 'chunked' },
    ),
    byCurl(
      'curl-unframed-answer',
      'curl gets an answer that ends with the connection',
      [`${URL4}${PATHS.identityDocument}`],
      [v1(PATHS.identityDocument, { category: 'identity-document' })],
      { framing: 'until-close' },
    ),
    byCurl(
      'curl-ipv6',
      'curl asks over IPv6, without a token',
      ['-g', `${URL6}${PATHS.instanceId}`],
      [v1(PATHS.instanceId, { endpoint: 'ipv6' })],
    ),
    bySnippet('curl-ipv6-v2', "the AWS documentation's snippet over IPv6", URL6, 'ipv6'),
    // One script runs all clients, so this refusal would explain the reads of a `curl` behind it as a fallback.
    byCurl(
      'curl-put-without-ttl',
      'a token is asked for without a lifetime',
      ['-X', 'PUT', `${URL4}${PATHS.token}`],
      [token({ status: 400 })],
    ),
    client({
      name: 'wget-v1',
      says: 'wget fetches user data, without a token',
      argv: [wget, '-q', '-O', '-', '--no-config', `${URL4}${PATHS.userData}`],
      executable: wget,
      calls: [v1(PATHS.userData, { category: 'user-data' })],
    }),
    client({
      name: 'bash-dev-tcp',
      says: 'bash alone, through /dev/tcp, a packet a line',
      argv: [
        bash,
        '-c',
        `exec 3<>/dev/tcp/${IMDS_IPV4}/80; printf 'GET ${PATHS.instanceId} HTTP/1.1\\r\\n' >&3; ` +
          `printf 'Host: ${IMDS_IPV4}\\r\\nConnection: close\\r\\n' >&3; printf '\\r\\n' >&3; while read -r line <&3; do :; done`,
      ],
      executable: bash,
      calls: [v1(PATHS.instanceId)],
    }),
    byScript(
      'python-urllib',
      'a Python script with urllib, without a token',
      python3,
      'urllib_v1.py',
      [id],
      [v1(PATHS.instanceId)],
    ),
    byScript(
      'python-keep-alive',
      'Python: token, read with it, read without it, on one connection',
      python3,
      'keep_alive.py',
      [IMDS_IPV4],
      [token(), v2(PATHS.instanceId), v1(PATHS.region)],
      KEEP_ALIVE,
    ),
    raw(
      'pipelined',
      'three requests in one packet: with a token, without, with',
      [token(), v2(PATHS.instanceId), v1(PATHS.region), v2(PATHS.instanceType)],
      KEEP_ALIVE,
    ),
    raw('split', "the token header's name split over two packets", [token(), v2(PATHS.instanceId)]),
    raw('bytes', 'a request sent byte by byte', [token(), v1(PATHS.instanceId)]),
    raw('many-headers', 'the token header behind 7 kB of other headers', [token(), v2(PATHS.instanceId)]),
    ...(oneShot === null
      ? []
      : [
          client({
            name: 'c-one-shot',
            says: 'a C program that connects, writes and exits',
            argv: [oneShot, PATHS.instanceId],
            executable: oneShot,
            calls: [v1(PATHS.instanceId)],
          }),
        ]),
    bySdk(
      'sdk-old',
      'an old AWS SDK (JavaScript 2.574.0) takes role credentials: it knows only IMDSv1',
      'aws_sdk_v2.cjs',
      credentialsBy(v1),
    ),
    bySdk('sdk-new', 'a new AWS SDK (JavaScript v3) takes role credentials by IMDSv2', 'aws_sdk_v3.cjs', [
      token(),
      ...credentialsBy(v2),
    ]),
    bySdk(
      'sdk-new-refused',
      'the new SDK is refused a token and falls back to IMDSv1',
      'aws_sdk_v3.cjs',
      [token({ status: 403 }), ...credentialsBy(v1, { fallback: 'token_refused' })],
      { tokenAnswer: 403 },
    ),
    bySdk(
      'sdk-new-unanswered',
      'the new SDK gets no answer to its token request, as behind a low hop limit, and falls back to IMDSv1',
      'aws_sdk_v3.cjs',
      [token({ status: null }), ...credentialsBy(v1, { fallback: 'token_unanswered' })],
      { tokenAnswer: 'hang' },
    ),
  ];
}

type ClientFacts = Pick<LabClient, 'name' | 'says' | 'argv' | 'executable' | 'calls'> & {
  script?: string;
  caller?: 'itself' | 'child';
  behaviour?: Partial<Behaviour> | undefined;
};

function client({ script, caller, behaviour, ...facts }: ClientFacts): LabClient {
  return {
    ...facts,
    script: script ?? null,
    caller: caller ?? 'itself',
    ...(behaviour === undefined ? {} : { behaviour }),
  };
}
