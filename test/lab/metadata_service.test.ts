/** The lab's metadata service against the documented behaviour of the real one, asked by a real curl. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { Lab, type RunOptions } from '../../lab/lab.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces';
const SERVICE = 'http://169.254.169.254';
const SERVICE_V6 = 'http://[fd00:ec2::254]';
const TTL = 'X-aws-ec2-metadata-token-ttl-seconds';
const TOKEN = 'X-aws-ec2-metadata-token';

interface Answer {
  status: number;
  headers: Map<string, string>;
  body: string;
}

describe('metadata service of the lab', () => {
  let lab: Lab;
  before(async () => {
    if (skip) return;
    lab = await Lab.create({ name: 'svctest' });
  });
  after(() => lab?.close());
  afterEach(() => lab?.metadata.reset());

  async function curl(args: string[], options: RunOptions = {}): Promise<Answer> {
    const { status, stdout, stderr } = await lab.run(
      ['curl', '-sS', '-i', '-g', '-m', '5', ...args],
      options,
    );
    assert.equal(status, 0, stderr);
    const end = stdout.indexOf('\r\n\r\n');
    const [first, ...lines] = stdout.slice(0, end).split('\r\n');
    const headers = new Map(lines.map((line) => line.toLowerCase().split(': ', 2) as [string, string]));
    return { status: Number(first!.split(' ')[1]), headers, body: stdout.slice(end + 4) };
  }
  const get = (path: string, ...args: string[]) => curl([...args, `${SERVICE}${path}`]);
  const put = (path: string, ...headers: string[]) =>
    curl(['-X', 'PUT', ...headers.flatMap((header) => ['-H', header]), `${SERVICE}${path}`]);
  const status = async (answer: Promise<Answer>) => (await answer).status;

  for (const [family, base] of [
    ['IPv4', SERVICE],
    ['IPv6', SERVICE_V6],
  ]) {
    it(`gives a token and takes it back over ${family}`, { skip }, async () => {
      const issued = await curl(['-X', 'PUT', '-H', `${TTL}: 60`, `${base}/latest/api/token`]);
      assert.equal(issued.status, 200);
      assert.equal(issued.headers.get(TTL.toLowerCase()), '60');
      const read = await curl(['-H', `${TOKEN}: ${issued.body}`, `${base}/latest/meta-data/instance-id`]);
      assert.equal(read.status, 200);
      assert.match(read.body, /^i-[0-9a-f]{17}$/);
      assert.ok(Number(read.headers.get(TTL.toLowerCase())) <= 60);
    });
  }

  it('answers IMDSv1 without the ttl header, as EC2ws, and closes', { skip }, async () => {
    const read = await get('/latest/meta-data/instance-id');
    assert.equal(read.status, 200);
    assert.equal(read.headers.has(TTL.toLowerCase()), false);
    assert.equal(read.headers.get('server'), 'ec2ws');
    assert.equal(read.headers.get('connection'), 'close');
  });

  it('refuses bad token requests', { skip }, async () => {
    assert.equal(await status(put('/latest/api/token')), 400);
    assert.equal(await status(put('/latest/api/token', `${TTL}: 0`)), 400);
    assert.equal(await status(put('/latest/api/token', `${TTL}: 21601`)), 400);
    assert.equal(await status(put('/latest/api/token', `${TTL}: soon`)), 400);
    assert.equal(await status(put('/latest/api/token', `${TTL}: 60`, 'X-Forwarded-For: 192.0.2.1')), 403);
    assert.equal(await status(put('/2021-07-15/api/token', `${TTL}: 60`)), 403);
    assert.equal(await status(put('/latest/api/token', `${TTL}: 21600`)), 200);
  });

  it('refuses unknown, empty and expired tokens', { skip }, async () => {
    const path = '/latest/meta-data/instance-id';
    assert.equal(await status(get(path, '-H', `${TOKEN}: invented`)), 401);
    assert.equal(await status(get(path, '-H', `${TOKEN};`)), 401);
    const { body: token } = await put('/latest/api/token', `${TTL}: 1`);
    assert.equal(await status(get(path, '-H', `${TOKEN}: ${token}`)), 200);
    await new Promise((resolve) => setTimeout(resolve, 1050));
    assert.equal(await status(get(path, '-H', `${TOKEN}: ${token}`)), 401);
  });

  it('serves the paths of the real one', { skip }, async () => {
    const { body: role } = await get('/latest/meta-data/iam/security-credentials/');
    const credentials = JSON.parse((await get(`/latest/meta-data/iam/security-credentials/${role}`)).body);
    assert.deepEqual(
      [credentials.Code, credentials.AccessKeyId.length, credentials.SecretAccessKey.length],
      ['Success', 20, 40],
    );
    const document = JSON.parse((await get('/2021-07-15/dynamic/instance-identity/document')).body);
    assert.equal(document.accountId, '123456789012');
    assert.equal(await status(get('//latest//user-data', '--path-as-is')), 200);
    assert.equal(await status(get('/latest/user%2Ddata/')), 200);
    assert.match((await get('/')).body, /^1\.0\n.*latest$/s);
    assert.match((await get('/latest/meta-data')).body, /^iam\/$/m);
    assert.equal(await status(get('/latest/meta-data/nothing')), 404);
    assert.equal(await status(get('/1999-01-01/meta-data/')), 404);
  });

  it('knows no other methods', { skip }, async () => {
    for (const method of ['POST', 'DELETE', 'OPTIONS', 'PUT']) {
      assert.equal(await status(get('/latest/meta-data/', '-X', method)), 405, method);
    }
    assert.equal((await get('/latest/user-data', '-I')).body, '');
  });

  it('requires tokens, or is disabled, on request', { skip }, async () => {
    await lab.metadata.set({ httpTokens: 'required' });
    assert.equal(await status(get('/latest/user-data')), 401);
    const { body: token } = await put('/latest/api/token', `${TTL}: 60`);
    assert.equal(await status(get('/latest/user-data', '-H', `${TOKEN}: ${token}`)), 200);
    await lab.metadata.set({ httpEndpoint: 'disabled' });
    assert.equal(await status(put('/latest/api/token', `${TTL}: 60`)), 403);
    await lab.metadata.set({ answer: 'throttle' });
    assert.equal(await status(get('/latest/user-data')), 503);
  });

  it('delays, chunks or omits its answers on request', { skip }, async () => {
    await lab.metadata.set({ delayMs: 150 });
    const slow = await lab.run([
      'curl',
      '-s',
      '-o',
      '/dev/null',
      '-w',
      '%{time_starttransfer}',
      `${SERVICE}/`,
    ]);
    assert.ok(Number(slow.stdout) >= 0.15, slow.stdout);
    await lab.metadata.set({ delayMs: 0, framing: 'chunked' });
    const chunked = await get('/latest/user-data');
    assert.equal(chunked.headers.get('transfer-encoding'), 'chunked');
    await lab.metadata.set({ framing: 'until-close' });
    const unframed = await get('/latest/user-data');
    assert.equal(unframed.body, chunked.body);
    assert.equal(unframed.headers.has('content-length') || unframed.headers.has('transfer-encoding'), false);
    // curl's own status: 28 timed out, 52 nothing came back, 56 the connection was reset.
    const failure = async () =>
      (await lab.run(['curl', '-s', '-m', '0.3', `${SERVICE}/latest/user-data`])).status;
    await lab.metadata.set({ answer: 'hang' });
    assert.equal(await failure(), 28);
    await lab.metadata.set({ answer: 'reset' });
    assert.ok([52, 56].includes((await failure()) ?? 0));
  });

  it('keeps a connection open on request', { skip }, async () => {
    await lab.metadata.set({ connection: 'keep-alive' });
    const before = await lab.metadata.connections();
    await lab.run(['curl', '-s', `${SERVICE}/latest/user-data`, `${SERVICE}/latest/meta-data/mac`]);
    assert.equal((await lab.metadata.connections()) - before, 1);
  });

  it('lets only answers to token requests die one hop away', { skip }, async () => {
    await lab.addPod();
    await lab.metadata.set({ putResponseHopLimit: 1 });
    for (const base of [SERVICE, SERVICE_V6]) {
      const token = ['-X', 'PUT', '-H', `${TTL}: 60`, `${base}/latest/api/token`];
      assert.equal((await curl(token)).status, 200, 'the host itself is no hop away');
      const { status: curlStatus } = await lab.run(['curl', '-s', '-g', '-m', '0.5', ...token], {
        from: 'pod',
      });
      assert.equal(curlStatus, 28, 'the answer ends at the host');
      assert.equal((await curl([`${base}/latest/user-data`], { from: 'pod' })).status, 200);
    }
    await lab.metadata.set({ putResponseHopLimit: 2 });
    assert.equal(
      (await curl(['-X', 'PUT', '-H', `${TTL}: 60`, `${SERVICE}/latest/api/token`], { from: 'pod' })).status,
      200,
    );
  });

  it('writes down what it saw, and never a token', { skip }, async () => {
    const seen = (await lab.metadata.log()).length;
    const { body: token } = await put('/latest/api/token', `${TTL}: 60`);
    const { stdout: port } = await lab.run([
      'curl',
      '-s',
      '-o',
      '/dev/null',
      '-w',
      '%{local_port}',
      '-H',
      `${TOKEN}: ${token}`,
      `${SERVICE}/latest/user-data?x=1`,
    ]);
    await get('/latest/user-data');
    const log = (await lab.metadata.waitFor(seen + 3)).slice(seen);
    assert.deepEqual(
      log.map(({ method, target, version, status, ttlHeaderSent }) => [
        method,
        target,
        version,
        status,
        ttlHeaderSent,
      ]),
      [
        ['PUT', '/latest/api/token', 2, 200, true],
        ['GET', '/latest/user-data?x=1', 2, 200, true],
        ['GET', '/latest/user-data', 1, 200, false],
      ],
    );
    assert.equal(log[1]!.clientPort, Number(port));
    assert.equal(log[1]!.clientAddress, lab.hostAddresses.ipv4);
    assert.equal(log[1]!.serverAddress, '169.254.169.254');
    assert.equal(JSON.stringify(log).includes(token), false);
  });

  it('writes down what it could not read', { skip }, async () => {
    const seen = (await lab.metadata.log()).length;
    await lab.run([
      'bash',
      '-c',
      'exec 3<>/dev/tcp/169.254.169.254/80; printf "\\x01\\x02garbage\\r\\n\\r\\n" >&3; cat <&3',
    ]);
    const [entry] = (await lab.metadata.waitFor(seen + 1)).slice(seen);
    assert.deepEqual([entry!.method, entry!.target, entry!.version, entry!.status], [null, null, null, 400]);
  });
});
