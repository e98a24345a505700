/** The link types that can be decoded, by their libpcap names (https://www.tcpdump.org/linktypes.html). */
export type LinkType = 'ETHERNET' | 'LINUX_SLL' | 'LINUX_SLL2' | 'RAW' | 'NULL' | 'LOOP';
