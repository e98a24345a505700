import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { unixSocketAddress } from '../../../systemd_notify/notify_socket.ts';
import { ServiceManager, type ServiceState } from '../../../systemd_notify/service_manager.ts';
import { ManagerSocket } from '../../support/systemd_notify/manager_socket.ts';

const well: ServiceState = { status: 'well', stuck: null };

function recording(watchdogMs: number | null) {
  const sent: string[] = [];
  const warnings: string[] = [];
  const manager = new ServiceManager({
    send: (text) => {
      sent.push(text);
      return null;
    },
    watchdogMs,
    log: { warn: (message: unknown) => warnings.push(String(message)) },
  });
  const pings = () => sent.filter((text) => text === 'WATCHDOG=1').length;
  return { manager, sent, warnings, pings };
}

/** Stops the timers, and returns a function that moves them on by milliseconds and lets what they begin go on. */
function ownTimers(t: TestContext): (ms: number) => Promise<void> {
  t.mock.timers.enable({ apis: ['setInterval'] });
  return async (ms) => {
    for (let passed = 0; passed < ms; passed++) {
      t.mock.timers.tick(1);
      await nextTurn();
    }
    await nextTurn();
  };
}

describe("the service manager's socket", () => {
  it('has a path or an abstract name as its address, and nothing else', () => {
    assert.deepEqual(unixSocketAddress('/run/n'), Buffer.from('\x01\0/run/n\0', 'latin1'));
    assert.deepEqual(unixSocketAddress('@a/b'), Buffer.from('\x01\0\0a/b', 'latin1'));
    for (const other of ['', '/', '@', 'run/n', 'vsock:2:9999', '/a\0b', `/${'x'.repeat(107)}`]) {
      assert.equal(unixSocketAddress(other), null, other);
    }
    assert.equal(unixSocketAddress(`@${'x'.repeat(107)}`)?.length, 110);
    assert.equal(unixSocketAddress(`/${'x'.repeat(106)}`)?.length, 110);
  });

  for (const kind of ['path', 'abstract'] as const) {
    it(`receives datagrams on a real socket (${kind}), and child processes do not inherit its address`, async () => {
      const directory = mkdtempSync(join(tmpdir(), 'notify-'));
      const address = kind === 'path' ? join(directory, 'n') : `@imdswatch-test-${randomUUID()}`;
      const socket = new ManagerSocket(address);
      try {
        const env = {
          NOTIFY_SOCKET: address,
          WATCHDOG_USEC: '60000',
          WATCHDOG_PID: String(process.pid),
          PATH: '/bin',
        };
        const manager = ServiceManager.fromEnvironment(env, { warn: assert.fail });
        assert.deepEqual(env, { PATH: '/bin' });
        manager.ready('on\nfire=1');
        manager.follow(() => well);
        const datagrams = await socket.until(/^WATCHDOG=1$/);
        // On a slow machine a second sign of progress may have come by now.
        assert.deepEqual(datagrams.slice(0, 3), ['READY=1\nSTATUS=on fire=1', 'STATUS=well', 'WATCHDOG=1']);
        await socket.until(/^WATCHDOG=1$/);
        manager.stopping();
        assert.ok((await socket.until(/^STOPPING=1/)).at(-1)!.startsWith('STOPPING=1'));
        manager.close();
        assert.equal(manager.counters()['not_told'], 0);
      } finally {
        socket.close();
        rmSync(directory, { recursive: true });
      }
    });
  }

  it('counts failures and logs the first one when nobody listens', () => {
    const warnings: string[] = [];
    const log = { warn: (message: unknown) => warnings.push(String(message)) };
    const manager = ServiceManager.fromEnvironment({ NOTIFY_SOCKET: `/nonexistent-${randomUUID()}` }, log);
    manager.ready('a');
    manager.status('b');
    assert.equal(manager.counters()['not_told'], 2);
    assert.equal(warnings.length, 1);
    const strange = ServiceManager.fromEnvironment({ NOTIFY_SOCKET: 'vsock:2:9999' }, log);
    assert.equal(strange.isListening, false);
    assert.match(warnings[1] ?? '', /vsock:2:9999/);
  });

  it('does nothing without a service manager', async () => {
    const manager = ServiceManager.fromEnvironment({ WATCHDOG_USEC: '1000' }, { warn: assert.fail });
    manager.ready('a');
    manager.follow(() => assert.fail('asked'));
    manager.stopping();
    await sleep(10);
    assert.deepEqual(manager.counters(), { told: 0, not_told: 0, watchdog_told: 0, watchdog_withheld: 0 });
  });

  it('ignores a watchdog of another process', async (t) => {
    const tick = ownTimers(t);
    const socket = new ManagerSocket(`@imdswatch-test-${process.pid}-other`);
    const manager = ServiceManager.fromEnvironment(
      { NOTIFY_SOCKET: `@imdswatch-test-${process.pid}-other`, WATCHDOG_USEC: '30000', WATCHDOG_PID: '1' },
      { warn: assert.fail },
    );
    manager.follow(() => well);
    await tick(60);
    manager.close();
    assert.deepEqual(socket.received(), ['STATUS=well']);
    socket.close();
  });
});

describe('the watchdog', () => {
  it('gets three signals per interval while there is progress', async (t) => {
    const tick = ownTimers(t);
    const { manager, pings } = recording(150);
    manager.follow(() => well);
    await tick(400);
    manager.close();
    assert.equal(pings(), 9, 'one at once, and one each 50 ms');
    await tick(120);
    assert.equal(pings(), 9);
  });

  it('gets no signal while there is no progress or the state throws, and then gets one again', async (t) => {
    const tick = ownTimers(t);
    const { manager, sent, warnings, pings } = recording(30);
    let state: () => ServiceState = () => ({ status: 'x', stuck: 'the capture is not live' });
    manager.follow(() => state());
    await tick(60);
    state = () => {
      throw new Error('no store');
    };
    await tick(60);
    assert.equal(pings(), 0);
    assert.ok(manager.counters()['watchdog_withheld']! >= 4);
    assert.deepEqual(sent, ['STATUS=Stuck: the capture is not live', 'STATUS=Stuck: no store']);
    assert.equal(warnings.length, 2);
    state = () => well;
    await tick(60);
    manager.close();
    assert.ok(pings() > 0);
  });

  it('gets no signal while a state is pending, and one when it arrives', async (t) => {
    const tick = ownTimers(t);
    const { manager, pings } = recording(30);
    const answer = Promise.withResolvers<ServiceState>();
    manager.follow(() => answer.promise);
    await tick(100);
    assert.equal(pings(), 0);
    answer.resolve(well);
    await tick(0);
    assert.ok(pings() >= 1);
    manager.close();
  });
});
