/** Rewrites a systemd unit so that its commands read as shell: same length, same positions. Source: systemd.service(5). */

const COMMAND = /^(\s*Exec\w+\s*=\s*[-@:+!|]*)(.*)$/;
const ENVIRONMENT = /^(\s*)(Environment|PassEnvironment)(\s*=\s*)(.*)$/;
/** Mount options of s3fs stand in `Options=` of a mount unit with `Type=fuse.s3fs`. */
const MOUNT = /^(\s*Options\s*=\s*)(.*)$/;

export function systemdUnitAsShell(text: string): string {
  const isS3fs = /^\s*Type\s*=\s*fuse\.s3fs\b/m.test(text);
  let continues = false;
  let keeps = false;
  return text
    .split('\n')
    .map((line) => {
      if (/^\s*[#;]/.test(line)) return blank(line);
      const wasContinued = continues;
      continues = /\\\r?$/.test(line);
      if (wasContinued) return keeps ? line : blank(line);
      const command = COMMAND.exec(line);
      const environment = ENVIRONMENT.exec(line);
      const mount = isS3fs ? MOUNT.exec(line) : null;
      keeps = command !== null || environment !== null || mount !== null;
      if (command !== null) return ' '.repeat(command[1]!.length) + command[2]!;
      // `export` takes several quoted assignments, as Environment= does.
      if (environment !== null) {
        const width = line.length - environment[4]!.length;
        return `${'export'.padEnd(width)}${environment[4]!}`;
      }
      if (mount !== null) return `${'s3fs'.padEnd(mount[1]!.length)}${mount[2]!}`;
      return blank(line);
    })
    .join('\n');
}

function blank(line: string): string {
  return line.replace(/[^\r]/g, ' ');
}
