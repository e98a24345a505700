import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { test } from 'node:test';
import { Lab } from '../../lab/lab.ts';
import { portOutOf, Relay, socketInto } from '../../lab/relay.ts';

const skip = process.getuid?.() === 0 ? false : 'network namespaces need root';

test('a port of this machine leads into the lab, whose own loopback it is', { skip }, async () => {
  const lab = await Lab.create({ name: 'relay', ipv6: false });
  try {
    const program = `
import socket
s = socket.socket(); s.bind(("127.0.0.1", 8787)); s.listen(); print("up", flush=True)
while True:
    c, _ = s.accept(); c.sendall(b"seen: " + c.recv(100)); c.close()
`;
    const server = lab.spawn(['python3', '-c', program]);
    await new Promise((resolve) => server.child.stdout?.once('data', resolve));
    const path = await socketInto(lab, 8787);
    const relay = await Relay.open(lab, path);
    for (const text of ['one', 'two']) {
      const socket = createConnection(relay.port, '127.0.0.1');
      socket.write(text);
      let answer = '';
      for await (const chunk of socket) answer += chunk;
      assert.equal(answer, `seen: ${text}`);
    }
    await portOutOf(lab, 8788, path);
    const outwards = 'import socket; s = socket.create_connection(("127.0.0.1", 8788)); s.sendall(b"three")';
    const { stdout } = await lab.run(['python3', '-c', `${outwards}; print(s.recv(100).decode())`]);
    assert.equal(stdout, 'seen: three\n');
    await server.stop();
    const refused = createConnection(relay.port, '127.0.0.1');
    let answer = '';
    for await (const chunk of refused) answer += chunk;
    assert.equal(answer, '', 'nobody listens in the lab: closed, and the relay goes on');
  } finally {
    await lab.close();
  }
});
