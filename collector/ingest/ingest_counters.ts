/** Counters of the frames of all agents together. */
export interface IngestCounters {
  frames: number;
  invalid_frames: number;
  invalid_records: number;
  foreign_records: number;
  /**
   * Texts and lists that were longer than the contract allows, or not well-formed. They are stored, but cut
   * or cleaned.
   */
  cut_texts: number;
  refused: number;
  /** Connections whose `hello` named a host that they may not speak for. */
  foreign_hosts: number;
  credentials_issued: number;
  heartbeats: number;
  flooding: number;
  /** Times that a socket was not read for a while, because its agent was too fast or the store too slow. */
  held_back: number;
}

export function zeroIngestCounters(): IngestCounters {
  return {
    frames: 0,
    invalid_frames: 0,
    invalid_records: 0,
    foreign_records: 0,
    cut_texts: 0,
    refused: 0,
    foreign_hosts: 0,
    credentials_issued: 0,
    heartbeats: 0,
    flooding: 0,
    held_back: 0,
  };
}
