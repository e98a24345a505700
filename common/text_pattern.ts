/** Patterns in which a `*` stands for any text. Pure. */

export interface Pattern {
  test(text: string): boolean;
}

/** Reads a pattern. A test takes time that grows with the lengths only, however many `*` there are. */
export function patternOf(pattern: string): Pattern {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return { test: (text) => text === pattern };
  return {
    test(text) {
      if (!text.startsWith(first)) return false;
      let at = first.length;
      for (const part of rest) {
        const found = text.indexOf(part, at);
        if (found === -1) return false;
        at = found + part.length;
      }
      return text.length - last.length >= at && text.endsWith(last);
    },
  };
}
