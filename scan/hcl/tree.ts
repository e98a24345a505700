/** Syntax tree of HCL, the language of Terraform and Packer, in both spellings. All positions are UTF-16 indices. */

export interface Span {
  start: number;
  end: number;
}

export type Expression = Span &
  (
    | { kind: 'literal'; value: string | number | boolean | null }
    /** A quoted string or heredoc with parts to compute. Text between them is literal. */
    | { kind: 'template'; parts: Expression[] }
    | { kind: 'name'; name: string }
    | { kind: 'attribute'; of: Expression; name: string }
    | { kind: 'index'; of: Expression; key: Expression }
    /** `of[*].a.b` */
    | { kind: 'splat'; of: Expression; names: string[] }
    | { kind: 'conditional'; test: Expression; yes: Expression; no: Expression }
    | { kind: 'unary'; operator: string; of: Expression }
    | { kind: 'binary'; operator: string; left: Expression; right: Expression }
    | { kind: 'call'; name: string; args: Expression[]; expandsLast: boolean }
    | { kind: 'tuple'; items: Expression[] }
    | { kind: 'object'; entries: ObjectEntry[] }
    | {
        kind: 'for';
        keyName: string | null;
        valueName: string;
        over: Expression;
        /** Key of an object; null for a tuple. */
        key: Expression | null;
        value: Expression;
        test: Expression | null;
        groups: boolean;
      }
    /** Syntax that the evaluator does not compute: template directives, nested too deep. */
    | { kind: 'unsupported'; why: string }
  );

export interface ObjectEntry extends Span {
  key: Expression;
  value: Expression;
}

export interface Attribute extends Span {
  name: string;
  value: Expression;
}

export interface Block extends Span {
  type: string;
  labels: string[];
  /** Behind `{`. */
  bodyStart: number;
  /** At `}`. */
  bodyEnd: number;
  attributes: Attribute[];
  blocks: Block[];
  /** Spelling of the file: native syntax or JSON. Fixes differ. */
  syntax: 'native' | 'json';
}

export interface HclFile {
  path: string;
  body: Block;
  /** Places that could not be parsed. */
  errors: Span[];
}

/** Returns the attribute of that name; Terraform refuses a second one. */
export function attributeOf(block: Block, name: string): Attribute | undefined {
  return block.attributes.find((attribute) => attribute.name === name);
}

export function blocksOf(block: Block, type: string): Block[] {
  return block.blocks.filter((inner) => inner.type === type);
}
