/** Counts reports of an agent that could not ask the kernel. It is kept with the losses of the day, and is none. */
export const KERNEL_NOT_ASKED = 'coverage.kernel_not_asked';
