/**
 * Makes a process the release after this one: it has another version, and its schema of the findings in PostgreSQL has one
 * more step. Preloaded with `--import`; see `releases.ts`.
 *
 * The step adds columns with defaults, an index, and a table that a trigger fills, so that calls which the earlier release
 * stores count in it too.
 */
import { registerHooks } from 'node:module';

const STEP = `{
  release: '0.2.0',
  summary: 'counts calls by host',
  apply: \`
    ALTER TABLE calls ADD COLUMN later text NOT NULL DEFAULT 'later';
    ALTER TABLE hosts ADD COLUMN later bigint;
    ALTER TABLE hourly ADD COLUMN later bigint NOT NULL DEFAULT 0;
    CREATE INDEX streams_of_host ON streams (host);
    CREATE TABLE later_counts (host bigint PRIMARY KEY, calls bigint NOT NULL);
    INSERT INTO later_counts SELECT host, count(*) FROM calls GROUP BY host;
    CREATE FUNCTION imdswatch_count_later() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      INSERT INTO later_counts VALUES (NEW.host, 1) ON CONFLICT (host) DO UPDATE SET calls = later_counts.calls + 1;
      RETURN NULL;
    END $body$;
    CREATE TRIGGER count_later AFTER INSERT ON calls FOR EACH ROW EXECUTE FUNCTION imdswatch_count_later();
  \`,
}`;

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (url.endsWith('/common/version.ts')) return { ...loaded, source: `export const VERSION = '0.2.0';` };
    if (!url.endsWith('/store/postgres/findings_schema.ts')) return loaded;
    return { ...loaded, source: `${loaded.source}\nFINDINGS_SCHEMA.steps.push(${STEP});\n` };
  },
});
