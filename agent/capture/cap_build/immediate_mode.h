/*
 * Included before cap's own source when it is compiled, in a checkout (setup/setup.sh) and for a package
 * (packaging/cap_addon.ts).
 *
 * cap looks up pcap_set_immediate_mode in "libpcap.so", a name that only a machine with libpcap's headers
 * has. On other machines the look-up works only by chance. Every supported libpcap has had the function since
 * 1.5.1, so it is linked directly. It is called unless packets are to be collected (packet_batches.h). Without dlopen, cap also
 * runs on glibc from 2.28 on, wherever it was compiled.
 */
#ifndef IMDSWATCH_CAP_IMMEDIATE_MODE
#define IMDSWATCH_CAP_IMMEDIATE_MODE

#include <dlfcn.h>
#include "packet_batches.h"

#define dlopen(name, mode) ((void *)0)
#define dlsym(handle, name) ((void *)&imdswatch_set_immediate_mode)

/*
 * setup/check_modules.mjs looks for this mark: an add-on that was built without this header is built again.
 */
__attribute__((used)) static const char imdswatch_cap_immediate_mode[] = "imdswatch-cap-build:immediate-mode=linked";

#endif
