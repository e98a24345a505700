import pidusage from 'pidusage';

/** Returns this process's CPU time as percent of one core since the last call, and its resident bytes. */
export async function measureSelf(): Promise<{ cpu_percent: number; memory_bytes: number }> {
  const { cpu, memory } = await pidusage(process.pid);
  return { cpu_percent: Number.isFinite(cpu) ? Math.max(0, cpu) : 0, memory_bytes: memory };
}
