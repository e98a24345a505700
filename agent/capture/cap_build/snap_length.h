/*
 * Included before cap's own source when it is compiled (CXXFLAGS=-include; see setup/setup.sh). cap is used as it is
 * published; this sets what it leaves no way to set.
 *
 * Snap length. cap asks for 65,535 bytes of every packet. In immediate mode libpcap gives each packet a slot of that
 * size, rounded up to 128 KiB of the kernel's ring: 32 packets in 4 MiB, and a burst of one-byte segments or of 50
 * callers at once is lost. 7,936 bytes make a slot of 8 KiB with its headers: 512 packets in the same memory. A
 * request's head is a few hundred bytes (the longest known 3,165); what is cut off a longer packet is counted, and
 * costs nothing in a body.
 */
#ifndef IMDSWATCH_CAP_BUILD
#define IMDSWATCH_CAP_BUILD

#include <pcap/pcap.h>

#define IMDSWATCH_SNAP_LENGTH_BYTES 7936
#define pcap_set_snaplen(handle, length) pcap_set_snaplen((handle), IMDSWATCH_SNAP_LENGTH_BYTES)

/* setup/check_modules.mjs looks for this mark: an add-on that was built without this header is built again. */
__attribute__((used)) static const char imdswatch_cap_build[] = "imdswatch-cap-build:snap-length=7936";

#endif
