/** Marks that are stored with the losses of a day, but are not losses. */

/** Counts reports of an agent that could not ask the kernel. */
export const KERNEL_NOT_ASKED = 'coverage.kernel_not_asked';
/** Counts reports of an agent that captured on one interface only. */
export const ONE_INTERFACE = 'capture.one_interface';
/** Counts reports of an agent that captured in its own network namespace only. */
export const ONE_NAMESPACE = 'capture.one_namespace';
