/** Checks that libpcap is installed and that a capture can be opened. It opens one for a moment. */
import { LiveSource } from '../../agent/capture/live_source.ts';
import { loadedKoffi } from '../../common/c_library.ts';
import { type AgentSide, AS_ROOT, type Check, fail, messageOf, ok, skip } from './check.ts';

const RING_BYTES = 524_288;
const CAP_NET_RAW_BIT = 13n;
/** File name of libpcap on Debian, then on other distributions. */
const LIBRARIES = ['libpcap.so.0.8', 'libpcap.so.1'];

export const capture: Check<AgentSide> = {
  name: 'capture',
  applies: () => true,
  run({ settings, capabilities, running }) {
    const version = libpcapVersion();
    if (version === null) {
      return [
        fail('libpcap is missing', 'Install it (Debian, Ubuntu: libpcap0.8; Amazon Linux, Fedora: libpcap).'),
      ];
    }
    if (((capabilities >> CAP_NET_RAW_BIT) & 1n) === 0n && capabilities === 0n) {
      const live = running.isRunning === true && running.state?.heartbeat.coverage.live === true;
      return [
        live
          ? ok(`${version}; the running agent captures packets`)
          : skip(`${version} is there; opening a capture needs root`, AS_ROOT),
      ];
    }
    const source = new LiveSource({
      interface: settings.interface,
      endpoints: settings.endpoints,
      ringBytes: RING_BYTES,
    });
    try {
      source.start(() => {});
    } catch (error) {
      return [
        fail(
          `${version}: ${messageOf(error)}`,
          'Remove the cause named above: without a capture the agent sees no calls.',
        ),
      ];
    } finally {
      source.stop();
    }
    return [ok(`${version}; a capture on ${settings.interface} was opened`)];
  },
};

function libpcapVersion(): string | null {
  const koffi = loadedKoffi();
  for (const name of LIBRARIES) {
    try {
      const version: string = koffi.load(name).func('const char *pcap_lib_version()')();
      return version.split(' (')[0]!;
    } catch {
      // The loop tries the other name.
    }
  }
  return null;
}
