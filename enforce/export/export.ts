/** Writes a plan in the form of another tool, for people who carry it out themselves. Pure: nothing is changed. */
import type { Plan } from '../plan.ts';
import { awsCli } from './aws_cli.ts';
import { cloudFormation } from './cloudformation.ts';
import { ssm } from './ssm.ts';
import { terraform } from './terraform.ts';

export const EXPORT_FORMATS = ['aws-cli', 'terraform', 'cloudformation', 'ssm'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

const FORMATS: Record<ExportFormat, (plan: Plan) => string> = {
  'aws-cli': awsCli,
  terraform,
  cloudformation: cloudFormation,
  ssm,
};

/** Returns the text of a file. Steps that the form cannot express stand in it as comments. */
export function exportPlan(plan: Plan, format: ExportFormat): string {
  return FORMATS[format](plan);
}
