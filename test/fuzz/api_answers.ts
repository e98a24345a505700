/** Checks the rules for every answer of the API, whatever the request: the OpenAPI document lists the possible answers. */
import assert from 'node:assert/strict';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { ApiDocument, FuzzRequest } from './api_requests.ts';

export interface FuzzAnswer {
  status: number;
  headers: Headers;
  text: string;
  ms: number;
}

/** On a machine that is busy with other tests; a question of this small store takes milliseconds. */
const MOST_MS = 15_000;
const STACK_TRACE = /\bat (?:async )?[\w.<>[\] ]*\(?(?:file:|node:|\/)[^\s)]*:\d+:\d+/;
/** Said by Node's HTTP parser before anything of ours: a head that is too large, or is none. */
const BEFORE_THE_API = new Set([400, 431]);
/** A body where the document has none. */
const STRAY_BODY = new Set([411, 413, 415]);
/** A path or method that is in no document. */
const NOT_THERE = new Set([404, 405]);

export class AnswerRules {
  readonly #document: ApiDocument;
  readonly #ajv: Ajv2020;
  readonly #validators = new Map<string, ValidateFunction>();
  /** Texts that no answer may hold. */
  readonly #secrets: readonly string[];

  constructor(document: ApiDocument, secrets: readonly string[]) {
    this.#document = document;
    this.#secrets = secrets;
    this.#ajv = new Ajv2020({ strict: false, validateFormats: false });
    this.#ajv.addSchema(document, 'document');
  }

  /** Throws AssertionError. */
  check(request: FuzzRequest, { status, headers, text, ms }: FuzzAnswer): void {
    const { method, template } = request;
    const operation = this.#document.paths[template]![method.toLowerCase()]!;
    const documented = operation.responses[String(status)];
    assert.ok(status !== 500, `${status}: ${text.slice(0, 300)}`);
    const isStray = request.body !== null && operation.requestBody === undefined && STRAY_BODY.has(status);
    const isElsewhere = NOT_THERE.has(status) || BEFORE_THE_API.has(status) || isStray;
    assert.ok(documented !== undefined || isElsewhere, `${status} is not documented: ${text.slice(0, 300)}`);
    assert.ok(ms < MOST_MS, `it took ${ms} ms`);
    assert.doesNotMatch(text, STACK_TRACE);
    for (const secret of this.#secrets) assert.ok(!text.includes(secret), 'a secret was told');
    if (BEFORE_THE_API.has(status) && !headers.has('content-type')) return;
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    const type = headers.get('content-type')?.split(';')[0] ?? '';
    const contents = documented?.content ?? { 'application/problem+json': undefined };
    if (status === 204) {
      assert.equal(text, '');
      return;
    }
    assert.ok(type in contents, `${status} with content of type "${type}"`);
    if (type === 'application/x-ndjson') {
      for (const line of text.split('\n')) if (line !== '') JSON.parse(line);
      return;
    }
    if (!type.endsWith('json')) return;
    const value: unknown = JSON.parse(text);
    if (documented === undefined) return;
    this.#validate(template, method.toLowerCase(), String(status), type, value);
  }

  #validate(template: string, method: string, status: string, type: string, value: unknown): void {
    const steps = ['paths', template, method, 'responses', status, 'content', type, 'schema'];
    const pointer = steps.map((step) => step.replaceAll('~', '~0').replaceAll('/', '~1'));
    const reference = `document#/${pointer.map(encodeURIComponent).join('/')}`;
    let validate = this.#validators.get(reference);
    if (validate === undefined) {
      validate = this.#ajv.compile({ $ref: reference });
      this.#validators.set(reference, validate);
    }
    assert.ok(validate(value), `not as documented: ${JSON.stringify(validate.errors?.slice(0, 3))}`);
  }
}
