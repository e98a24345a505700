/*
 * Included before cap's own source when it is compiled (CXXFLAGS=-include; see setup/setup.sh). cap is used
 * as it is published; this file sets a value that cap has no option for.
 *
 * The value is the snap length. cap requests 65,535 bytes of every packet. In immediate mode libpcap gives
 * each packet a slot of that size, rounded up to 128 KiB of the kernel's ring: only 32 packets fit into 4
 * MiB, and a burst of one-byte segments or of 50 callers at once is lost. With 7,936 bytes a slot has 8 KiB
 * with its headers: 512 packets fit into the same memory. A request's head has a few hundred bytes (the
 * longest known has 3,165). Bytes that are cut off a longer packet are counted; in a body they are not
 * needed.
 */
#ifndef IMDSWATCH_CAP_BUILD
#define IMDSWATCH_CAP_BUILD

#include <pcap/pcap.h>

#define IMDSWATCH_SNAP_LENGTH_BYTES 7936
#define pcap_set_snaplen(handle, length) pcap_set_snaplen((handle), IMDSWATCH_SNAP_LENGTH_BYTES)

/*
 * setup/check_modules.mjs looks for this mark: an add-on that was built without this header is built again.
 */
__attribute__((used)) static const char imdswatch_cap_build[] = "imdswatch-cap-build:snap-length=7936";

#endif
