/** Thrown on `--help`; the message is the text to print on stdout. */
export class HelpRequested extends Error {}
