/*
 * Included before cap's own source when it is compiled (CXXFLAGS=-include; see setup/setup.sh). cap is used
 * as it is published; this file sets values that cap has no option for.
 *
 * The values are snap lengths. cap requests 65,535 bytes of every packet. In immediate mode libpcap gives
 * each packet a slot of that size, rounded up to 128 KiB of the kernel's ring: only 32 packets fit into 4
 * MiB, and a burst of one-byte segments or of 50 callers at once is lost. With 7,936 bytes a slot has 8 KiB
 * with its headers: 512 packets fit into the same memory. A request's head has a few hundred bytes (the
 * longest known has 3,165). Bytes that are cut off a longer packet are counted; in a body they are not
 * needed.
 *
 * Collected packets (packet_batches.h) have no slots: each takes what it needs. They are captured whole: the
 * longest IP packet (65,535 bytes, as segmentation offload makes them), libpcap's 16 bytes before it, and VLAN
 * tags.
 */
#ifndef IMDSWATCH_CAP_BUILD
#define IMDSWATCH_CAP_BUILD

#include <pcap/pcap.h>

#define IMDSWATCH_SNAP_LENGTH_BYTES 7936
#define IMDSWATCH_COLLECTED_SNAP_LENGTH_BYTES 65600

/*
 * setup/check_modules.mjs looks for this mark: an add-on that was built without this header is built again.
 */
__attribute__((used)) static const char imdswatch_cap_build[] = "imdswatch-cap-build:snap-length=7936,65600";

#endif
