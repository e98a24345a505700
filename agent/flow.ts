/** A connection as its client has it. */
export interface FlowTuple {
  clientAddress: string;
  clientPort: number;
  serverAddress: string;
  serverPort: number;
}
