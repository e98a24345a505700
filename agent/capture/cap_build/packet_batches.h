/*
 * Included before cap's own source when it is compiled (see snap_length.h). cap passes each packet to JavaScript
 * alone, without its time, and reads packets as soon as there is one. This header gives JavaScript all packets that
 * can be read in one call, each with the kernel's time stamp, and lets the kernel collect packets.
 *
 * JavaScript writes `struct imdswatch_options` to the start of its buffer before it opens a capture. A call then gets
 * a batch: for each packet a `struct imdswatch_packet`, its bytes, and padding to a multiple of 4.
 */
#ifndef IMDSWATCH_CAP_PACKET_BATCHES
#define IMDSWATCH_CAP_PACKET_BATCHES

#include <pcap/pcap.h>
#include <stdint.h>
#include <string.h>

#include "snap_length.h"

/* The size of JavaScript's buffer. It holds more than one packet of the greatest length. */
#define IMDSWATCH_BATCH_BYTES 131072

struct imdswatch_options {
	/*
	 * 0 for immediate mode (TPACKET_V2). Otherwise the kernel passes packets on when a block of its ring is full,
	 * or so many milliseconds after the block was opened (TPACKET_V3).
	 */
	int32_t collect_ms;
};

struct imdswatch_packet {
	uint32_t seconds;
	uint32_t microseconds;
	uint32_t captured_bytes;
	uint32_t wire_bytes;
};

/* cap works on one thread, so all of this needs no lock. */
static struct imdswatch_options imdswatch_opening;
static uint8_t imdswatch_batch[IMDSWATCH_BATCH_BYTES];
static size_t imdswatch_batch_used;

static pcap_t *imdswatch_create(const char *device, char *error, const char *buffer, size_t buffer_bytes)
{
	memset(&imdswatch_opening, 0, sizeof(imdswatch_opening));
	if (buffer_bytes >= sizeof(imdswatch_opening))
		memcpy(&imdswatch_opening, buffer, sizeof(imdswatch_opening));
	return pcap_create(device, error);
}

static int imdswatch_set_immediate_mode(pcap_t *handle, int immediate)
{
	return imdswatch_opening.collect_ms > 0 ? 0 : pcap_set_immediate_mode(handle, immediate);
}

static int imdswatch_set_snaplen(pcap_t *handle)
{
	return pcap_set_snaplen(handle, imdswatch_opening.collect_ms > 0 ? IMDSWATCH_COLLECTED_SNAP_LENGTH_BYTES
									 : IMDSWATCH_SNAP_LENGTH_BYTES);
}

static int imdswatch_set_timeout(pcap_t *handle, int milliseconds)
{
	return pcap_set_timeout(handle, imdswatch_opening.collect_ms > 0 ? imdswatch_opening.collect_ms : milliseconds);
}

static void imdswatch_collect(u_char *user, const struct pcap_pkthdr *header, const u_char *bytes)
{
	uint8_t *to = imdswatch_batch + imdswatch_batch_used;
	struct imdswatch_packet packet;

	packet.seconds = (uint32_t)header->ts.tv_sec;
	packet.microseconds = (uint32_t)header->ts.tv_usec;
	packet.captured_bytes = header->caplen;
	packet.wire_bytes = header->len;
	memcpy(to, &packet, sizeof(packet));
	memcpy(to + sizeof(packet), bytes, header->caplen);
	imdswatch_batch_used += (sizeof(packet) + header->caplen + 3) & ~(size_t)3;
}

/* Passes the packets that can be read now to the callback, as one batch. Returns their number. */
static int imdswatch_dispatch(pcap_t *handle, pcap_handler callback, u_char *user)
{
	const size_t longest = sizeof(struct imdswatch_packet) + (size_t)pcap_snapshot(handle) + 3;
	struct pcap_pkthdr header = {};
	int packets = 0;

	imdswatch_batch_used = 0;
	while (imdswatch_batch_used + longest <= sizeof(imdswatch_batch) &&
	       pcap_dispatch(handle, 1, imdswatch_collect, 0) == 1)
		packets++;
	if (packets == 0)
		return 0;
	header.caplen = header.len = imdswatch_batch_used;
	callback(user, &header, imdswatch_batch);
	return packets;
}

/* `obj` is a name in cap's own source. */
#define pcap_create(device, error) imdswatch_create((device), (error), obj->buffer_data, obj->buffer_length)
#define pcap_set_snaplen(handle, length) imdswatch_set_snaplen((handle))
#define pcap_set_timeout(handle, milliseconds) imdswatch_set_timeout((handle), (milliseconds))
#define pcap_dispatch(handle, count, callback, user) imdswatch_dispatch((handle), (callback), (user))

/*
 * setup/check_modules.mjs looks for this mark: an add-on that was built without this header is built again.
 */
__attribute__((used)) static const char imdswatch_cap_batches[] = "imdswatch-cap-build:packet-batches=collected";

#endif
