/** Looks for signs that containers run on an instance, since they decide how many hops an answer needs. Pure. */
import type { ContainerSign } from './declaration.ts';

const SIGNS: readonly { pattern: RegExp; hops: number; because: string }[] = [
  {
    pattern: /ECS_CLUSTER\s*=/,
    hops: 2,
    because: 'its user data joins an ECS cluster, whose tasks are behind a bridge by default',
  },
  {
    pattern: /\b(docker|podman|nerdctl)\s+(run|compose)\b|\bdocker-compose\b/,
    hops: 2,
    because: 'its user data starts containers',
  },
  {
    pattern: /\/etc\/eks\/bootstrap\.sh|\bnodeadm\b|\bkubeadm\s+join\b|\bkubelet\b/,
    hops: 2,
    because: 'its user data makes it a Kubernetes node',
  },
];

/**
 * Returns the sign in a user data text; null when nothing is known, because the text is unknown or absent and
 * the image may do anything.
 */
export function containerSign(userData: string | null, isKubernetesNode: boolean): ContainerSign | null {
  if (isKubernetesNode) return { hops: 2, because: 'it is a Kubernetes node', found: true };
  if (userData === null || userData === '') return null;
  for (const { pattern, hops, because } of SIGNS)
    if (pattern.test(userData)) return { hops, because, found: true };
  return { hops: 1, because: 'its user data starts no containers', found: false };
}
