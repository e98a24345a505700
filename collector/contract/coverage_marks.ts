/** Marks of a day, kept with the losses of the day. They are none. */

/** Counts reports of an agent that could not ask the kernel. */
export const KERNEL_NOT_ASKED = 'coverage.kernel_not_asked';
/** Counts reports of an agent that captured on one interface only. */
export const ONE_INTERFACE = 'capture.one_interface';
/** Counts reports of an agent that captured in its own network namespace only. */
export const ONE_NAMESPACE = 'capture.one_namespace';
