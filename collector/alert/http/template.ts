/**
 * Fills templates of Liquid (liquidjs). Only single strings are filled, never a whole body, so that values from hosts and
 * programs stay values. Templates read no files, and time, memory and length are bounded.
 */
import type { Liquid } from 'liquidjs';
import type { BodyTree } from '../../contract/http_request.ts';
import { DeliveryError } from '../guarded_connect.ts';
import { cut, cutBytes, markdownEscaped, slackEscaped } from './text_filters.ts';

const MAX_PARSED_CHARACTERS = 20_000;
/** A template that takes so long is wrong. A busy machine must not reach the bound. */
const MAX_RENDER_MS = 5000;
const MAX_MEMORY = 2_000_000;
/** Matches a text that is one expression, which keeps the type of its value. */
const ONE_EXPRESSION = /^\s*\{\{-?((?:(?!\{\{|\}\}|\{%).)*?)-?\}\}\s*$/s;
/** Tags that read files. */
const FILE_TAGS = ['include', 'render', 'layout', 'block'];

export type TemplateValues = Record<string, unknown>;

export class Templates {
  readonly #engine: Liquid;

  private constructor(engine: Liquid) {
    this.#engine = engine;
  }

  /** Loads the engine, which most collectors do not need. */
  static async load(): Promise<Templates> {
    const { Liquid } = await import('liquidjs');
    const engine = new Liquid({
      strictVariables: true,
      strictFilters: true,
      lenientIf: true,
      ownPropertyOnly: true,
      parseLimit: MAX_PARSED_CHARACTERS,
      renderLimit: MAX_RENDER_MS,
      memoryLimit: MAX_MEMORY,
    });
    for (const tag of FILE_TAGS) delete engine.tags[tag];
    engine.registerFilter('cut', (value: unknown, most: number) => cut(String(value ?? ''), most));
    engine.registerFilter('cut_bytes', (value: unknown, most: number) => cutBytes(String(value ?? ''), most));
    engine.registerFilter('slack', (value: unknown, most: number) => slackEscaped(String(value ?? ''), most));
    engine.registerFilter('markdown', (value: unknown) => markdownEscaped(String(value ?? '')));
    return new Templates(engine);
  }

  /** Returns a text. Throws `DeliveryError` where the template does not fit the values. */
  text(template: string, values: TemplateValues): string {
    return this.#attempt(template, () => this.#engine.parseAndRenderSync(template, values) as string);
  }

  /**
   * Fills the strings of a tree. Values that are null leave their key, or their place in a list, out. So does an object whose
   * `$if` is filled to an empty text or `false`.
   */
  tree(tree: BodyTree, values: TemplateValues): BodyTree | undefined {
    if (typeof tree === 'string') return this.#leaf(tree, values);
    if (tree === null || typeof tree !== 'object') return tree;
    if (Array.isArray(tree)) {
      return tree.flatMap((child) => {
        const filled = this.tree(child, values);
        return filled === undefined ? [] : [filled];
      });
    }
    const { $if: condition, ...rest } = tree;
    if (typeof condition === 'string' && /^(false)?$/.test(this.text(condition, values).trim()))
      return undefined;
    const entries = Object.entries(rest).flatMap(([key, child]) => {
      const filled = this.tree(child, values);
      return filled === undefined ? [] : [[key, filled] as const];
    });
    return Object.fromEntries(entries);
  }

  #leaf(template: string, values: TemplateValues): BodyTree | undefined {
    const [, expression] = ONE_EXPRESSION.exec(template) ?? [];
    if (expression === undefined) return this.text(template, values);
    const found: unknown = this.#attempt(template, () =>
      this.#engine.evalValueSync(expression.trim(), values),
    );
    // The literal `nil` of Liquid is an object.
    const value = found instanceof Object ? found.valueOf() : found;
    return value === null || value === undefined
      ? undefined
      : (JSON.parse(JSON.stringify(value)) as BodyTree);
  }

  #attempt<T>(template: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      const [reason = ''] = (error as Error).message.split('\n');
      throw new DeliveryError(
        `the template ${JSON.stringify(cut(template, 80))} cannot be filled: ${reason}`,
        {
          next: 'refused',
        },
      );
    }
  }
}
