/** Works out arithmetic that a document shows: numbers, names, `+`, `-`, `×`, `/`, parentheses and `ceil(…)`. */

const TOKEN = /\s*([\d.,]*\d|[a-z][a-z_0-9]*|[-+×/()])/y;

/** Throws for what is no arithmetic, and for a name that is not known. */
export function workOut(text: string, names: ReadonlyMap<string, number>): number {
  const tokens = tokensOf(text);
  let at = 0;
  const isNext = (...texts: string[]) => texts.includes(tokens[at] ?? '');
  const expect = (token: string) => {
    if (tokens[at++] !== token) throw new Error(`${text}: ${token} is missing`);
  };
  const operand = (): number => {
    const token = tokens[at++] ?? '';
    if (token === '(' || token === 'ceil') {
      if (token === 'ceil') expect('(');
      const value = sum();
      expect(')');
      return token === 'ceil' ? Math.ceil(value) : value;
    }
    if (/^\d/.test(token)) return numberOf(token);
    const known = names.get(token);
    if (known === undefined) throw new Error(`${text}: ${token || 'the end'} is no known name`);
    return known;
  };
  const product = (): number => {
    let value = operand();
    while (isNext('×', '/')) value = tokens[at++] === '×' ? value * operand() : value / operand();
    return value;
  };
  const sum = (): number => {
    let value = product();
    while (isNext('+', '-')) value = tokens[at++] === '+' ? value + product() : value - product();
    return value;
  };
  const value = sum();
  if (at !== tokens.length) throw new Error(`${text}: ${tokens[at]} is not expected`);
  return value;
}

function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  for (let at = 0; at < text.trimEnd().length; ) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    if (found === null) throw new Error(`${text}: ${text.slice(at)} is no arithmetic`);
    tokens.push(found[1]!);
    at = TOKEN.lastIndex;
  }
  return tokens;
}

/** Reads a number with commas between thousands. */
export function numberOf(text: string): number {
  const value = Number(text.replaceAll(',', ''));
  if (text.trim() === '' || Number.isNaN(value)) throw new Error(`${text} is no number`);
  return value;
}

/** Writes a number with three significant digits, and commas between thousands. */
export function shown(value: number): string {
  const rounded = Number(value.toPrecision(3));
  return rounded.toLocaleString('en-US', { maximumFractionDigits: 6, useGrouping: true });
}
