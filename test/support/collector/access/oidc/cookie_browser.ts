/** A browser without scripts: it keeps the cookies of each server, and follows redirects. */
export class CookieBrowser {
  readonly cookies = new Map<string, Map<string, string>>();

  async get(address: string | URL, init: RequestInit = {}): Promise<Response> {
    const { origin } = new URL(address);
    const cookie = [...(this.cookies.get(origin) ?? [])]
      .map(([name, value]) => `${name}=${value}`)
      .join('; ');
    const answer = await fetch(address, {
      redirect: 'manual',
      ...init,
      headers: { ...(init.headers as Record<string, string>), ...(cookie !== '' && { cookie }) },
    });
    for (const line of answer.headers.getSetCookie()) this.#keep(origin, line);
    return answer;
  }

  #keep(origin: string, line: string): void {
    const [pair = ''] = line.split(';');
    const equals = pair.indexOf('=');
    const own = this.cookies.get(origin) ?? new Map<string, string>();
    this.cookies.set(origin, own);
    const [name, value] = [pair.slice(0, equals), pair.slice(equals + 1)];
    if (value === '' || /max-age=0|expires=thu, 01 jan 1970/i.test(line)) own.delete(name);
    else own.set(name, value);
  }

  /** Follows redirects until one leads to `end`, and returns that address without asking for it. */
  async follow(address: string, end: string): Promise<URL> {
    let next = new URL(address);
    for (let redirects = 0; redirects < 10; redirects += 1) {
      const answer = await this.get(next);
      const location = answer.headers.get('location');
      if (location === null)
        throw new Error(`${next.href} answered ${answer.status}: ${await answer.text()}`);
      next = new URL(location, next);
      if (next.pathname === end) return next;
    }
    throw new Error(`${address} leads nowhere`);
  }
}
