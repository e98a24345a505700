/** Schemas of the texts of the contract, with the bounds of `text_bounds.ts`. */
import * as z from 'zod';
import {
  cleanLabel,
  cutArguments,
  cutText,
  isIdentifier,
  MAX_ARGUMENT_CHARACTERS,
  MAX_IDENTIFIER_CHARACTERS,
  MAX_LABEL_CHARACTERS,
} from './text_bounds.ts';

/** A text of any characters. It is cut where it is longer. */
export const freeText = (max: number) => z.string().overwrite((text) => cutText(text, max));
/** A text of one visible line. It is cut and cleaned where it is not. */
export const label = (max = MAX_LABEL_CHARACTERS) => z.string().overwrite((text) => cleanLabel(text, max));
/** A name that others refer to. A record with another one is refused. */
export const identifier = (max = MAX_IDENTIFIER_CHARACTERS) =>
  z.string().min(1).max(max).refine(isIdentifier, 'must be well-formed text without control characters');

/** The arguments of a process: so many, and all together so long. */
export const argumentList = z
  .array(freeText(MAX_ARGUMENT_CHARACTERS))
  .overwrite((args) => cutArguments(args));
