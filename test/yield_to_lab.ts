/**
 * Is loaded first by test files that run beside the lab. They take the processor time that the lab leaves over: its files run
 * one after the other, so they decide how long a whole run takes. Processes that a test starts inherit the priority.
 */
import { setPriority } from 'node:os';

const BESIDE_LAB = 10;

setPriority(BESIDE_LAB);
