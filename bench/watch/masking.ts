/**
 * Measures masking: how many ordinary paths and command lines lose something to it, how many random keys it
 * misses in which place, and how long it takes.
 *
 *     node bench/watch/masking.ts [LIST...]
 *     node bench/watch/masking.ts time
 *
 * A list has one path on a line; `-` is standard input. Without a list the paths of this machine's file
 * systems are taken, those of network file systems left out. Names of masked paths are printed: run it where
 * that may be.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { maskArgs, maskPath } from '../../agent/secrets/mask.ts';
import { redactPath, redactQuery, redactUserAgent } from '../../agent/secrets/redact.ts';

const EXAMPLES = 40;
const KEYS = 100_000;

async function measurePaths(name: string, lines: AsyncIterable<string>): Promise<void> {
  let paths = 0;
  const masked: string[] = [];
  const before = performance.now();
  for await (const line of lines) {
    paths++;
    if (maskPath(line) !== line) masked.push(line);
  }
  const spent = (performance.now() - before) / 1e3;
  const rate = ((masked.length / Math.max(1, paths)) * 1e5).toFixed(2);
  console.log(
    `${name}: ${masked.length} of ${paths} paths masked: ${rate} in 100,000 (${spent.toFixed(1)} s)`,
  );
  const step = Math.max(1, Math.floor(masked.length / EXAMPLES));
  for (let at = 0; at < masked.length; at += step)
    console.log(`  ${maskPath(masked[at]!)}  <-  ${masked[at]}`);
}

function measureCommands(): void {
  const commands = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)];
      } catch {
        return [];
      }
    })
    .filter((args) => args.length > 0);
  const masked = commands.filter((args) => maskArgs(args).join('\0') !== args.join('\0'));
  console.log(`commands of this machine: ${masked.length} of ${commands.length} masked`);
  for (const args of masked.slice(0, EXAMPLES)) console.log(`  ${maskArgs(args).join(' ').slice(0, 300)}`);
}

/** Tells whether a part of a secret of that length is left in a text. */
function leaves(text: string, secret: string, atLeast: number): boolean {
  for (let at = 0; at + atLeast <= secret.length; at++)
    if (text.includes(secret.slice(at, at + atLeast))) return true;
  return false;
}

function measureMisses(): void {
  const places: Record<string, (key: string) => string> = {
    'argument alone': (key) => maskArgs(['app', key])[1]!,
    'argument, glued to an option': (key) => maskArgs(['app', `-t${key}`])[1]!,
    'argument, glued to a word': (key) => maskArgs(['app', `key${key}end`])[1]!,
    'argument, in a URL': (key) => maskArgs(['app', `--foo=https://x/?s=${encodeURIComponent(key)}`])[1]!,
    'argument, base64': (key) => maskArgs(['app', Buffer.from(key).toString('base64')])[1]!,
    'file name, for URLs': (key) => maskPath(`/srv/${key.replaceAll('/', '_').replaceAll('+', '-')}.py`),
    path: (key) => redactPath(`/latest/meta-data/${key}/x`),
    query: (key) => redactQuery(`a=b&k=${key}`),
    'user agent': (key) => redactUserAgent(`client/${key} linux`),
  };
  for (const [place, mask] of Object.entries(places)) {
    let missed = 0;
    for (let n = 0; n < KEYS; n++) {
      const key = randomBytes(30).toString('base64');
      const hidden =
        place === 'argument, base64'
          ? Buffer.from(key).toString('base64')
          : place.startsWith('file')
            ? key.replaceAll('/', '_').replaceAll('+', '-')
            : key;
      if (leaves(mask(key), hidden, 12)) missed++;
    }
    console.log(
      `key as ${place}: ${((missed / KEYS) * 1e5).toFixed(1)} of 100,000 leave 12 characters or more`,
    );
  }
}

function measureTime(): void {
  const work: Record<string, () => void> = {
    'arguments of a shell that asks for a token': () =>
      void maskArgs([
        'sh',
        '-c',
        'TOKEN=`curl -X PUT "http://169.254.169.254/latest/api/token" -H "X-aws-ec2-metadata-token-ttl-seconds: 21600"` && curl -H "X-aws-ec2-metadata-token: $TOKEN" http://169.254.169.254/latest/meta-data/',
      ]),
    'arguments of a Java service': () =>
      void maskArgs([
        '/usr/lib/jvm/java-17-openjdk-amd64/bin/java',
        '-Xmx4g',
        '-cp',
        Array.from({ length: 30 }, (_, n) => `/opt/app/lib/spring-boot-autoconfigure-3.2.${n}.jar`).join(':'),
        'com.example.orders.OrderServiceApplication',
        '--spring.config.location=/etc/orders/application.yml',
      ]),
    'a path never seen before': () =>
      void redactPath(`/latest/meta-data/network/interfaces/macs/02:29:96:8f:6a:2d/${counter++}`),
    'a user agent never seen before': () =>
      void redactUserAgent(
        `aws-sdk-go-v2/1.2.${counter++} os/linux lang/go/1.19.8 md/GOOS/linux md/GOARCH/amd64 ft/ec2-imds`,
      ),
  };
  let counter = 0;
  for (const [name, run] of Object.entries(work)) {
    for (let n = 0; n < 5_000; n++) run();
    const rounds = 20_000;
    // Returns processor time only, in microseconds: other load on the machine does not count.
    const before = process.cpuUsage();
    for (let n = 0; n < rounds; n++) run();
    const { user, system } = process.cpuUsage(before);
    console.log(`${name}: ${((user + system) / rounds).toFixed(2)} us`);
  }
}

const lists = process.argv.slice(2);
measureTime();
if (lists[0] !== 'time') {
  measureMisses();
  measureCommands();
  for (const list of lists) {
    const input = list === '-' ? process.stdin : createReadStream(list);
    await measurePaths(list, createInterface({ input }));
  }
  if (lists.length === 0) {
    const find = spawn('find', ['/', '-xdev'], { stdio: ['ignore', 'pipe', 'ignore'] });
    await measurePaths('this machine', createInterface({ input: find.stdout }));
  }
}
