/** A node of the grammar, copied out of WebAssembly memory. */
export interface SyntaxNode {
  type: string;
  start: number;
  end: number;
  children: SyntaxNode[];
}
