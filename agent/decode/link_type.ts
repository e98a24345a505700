/** Link types by their libpcap names (https://www.tcpdump.org/linktypes.html) that can be decoded. */
export type LinkType = 'ETHERNET' | 'LINUX_SLL' | 'LINUX_SLL2' | 'RAW' | 'NULL' | 'LOOP';
