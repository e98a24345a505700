/** A namespace with its own way to the lab's metadata service, and a caller in it that keeps its connection. */
import { execFileSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Lab } from '../../../lab/lab.ts';

const ip = (...argv: string[]) => execFileSync('ip', argv);

/** It reaches the metadata service without passing the lab's host, as an awsvpc task does. Returns its name. */
export function ownWay(lab: Lab, number: number, network = `10.99.${number}`): string {
  const name = `${lab.tag}-own${number}`;
  const peer = ['type', 'veth', 'peer', 'name', `own${number}`, 'netns', lab.metadataNamespace];
  ip('netns', 'add', name);
  ip('-n', name, 'link', 'add', 'own0', ...peer);
  ip('-n', name, 'addr', 'add', `${network}.2/24`, 'dev', 'own0');
  ip('-n', lab.metadataNamespace, 'addr', 'add', `${network}.1/24`, 'dev', `own${number}`);
  ip('-n', name, 'link', 'set', 'own0', 'up');
  ip('-n', lab.metadataNamespace, 'link', 'set', `own${number}`, 'up');
  ip('-n', name, 'route', 'add', '169.254.169.254', 'via', `${network}.1`);
  return name;
}

export function removeNamespace(name: string): void {
  execFileSync('ip', ['netns', 'del', name]);
}

export function curl(namespace: string, path: string): void {
  const url = `http://169.254.169.254${path}`;
  execFileSync('nsenter', [`--net=/run/netns/${namespace}`, 'curl', '-s', '-m', '5', url]);
}

const KEEPER = `
import ctypes, os, socket, sys, threading
def connect():
    return socket.create_connection(('169.254.169.254', 80))
if sys.argv[1] == 'thread':
    # Only a thread is in the namespace: the process itself stays outside.
    opened = []
    ready, done = threading.Event(), threading.Event()
    def inside():
        fd = os.open(sys.argv[2], 0)
        assert ctypes.CDLL(None, use_errno=True).setns(fd, 0) == 0
        opened.append(connect())
        ready.set()
        done.wait()
    threading.Thread(target=inside, daemon=True).start()
    ready.wait()
    connection = opened[0]
else:
    connection = connect()
print('open', flush=True)
for line in sys.stdin:
    command, _, argument = line.strip().partition(' ')
    if command == 'move':
        assert ctypes.CDLL(None, use_errno=True).setns(os.open(argument, 0), 0) == 0
        print('moved', flush=True)
    else:
        connection.sendall(b'GET %s HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' % argument.encode())
        print(connection.recv(4096)[9:12].decode(), flush=True)
`;

export interface Keeper {
  pid: number;
  /** Asks on the connection that was opened at the start. Resolves with the status. */
  get(path: string): Promise<string>;
  /** The process goes into another namespace; its connection stays where it was opened. */
  moveTo(namespacePath: string): Promise<string>;
  stop(): Promise<void>;
}

/** A process in `namespace` with an open connection; with `byThread`, only one of its threads is in that namespace. */
export async function keeper(lab: Lab, namespace: string, byThread = false): Promise<Keeper> {
  const mode = byThread ? ['thread', `/run/netns/${namespace}`] : ['process'];
  const running = lab.spawn(['python3', '-u', '-c', KEEPER, ...mode], {
    from: byThread ? 'host' : { namespace },
  });
  const lines = createInterface({ input: running.child.stdout! })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the caller that keeps its connection has ended');
    return value as string;
  };
  await next();
  const say = (line: string) => {
    running.child.stdin?.write(`${line}\n`);
    return next();
  };
  return {
    pid: running.pid,
    get: (path) => say(`get ${path}`),
    moveTo: (path) => say(`move ${path}`),
    stop: () => running.stop('SIGKILL'),
  };
}
