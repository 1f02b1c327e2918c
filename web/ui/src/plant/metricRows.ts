/**
 * The metrics of one node or device as the rows of a table: folders, metrics, the editor of one.
 *
 * Folders come in the order in which the birth names them, which is the order of whoever configured
 * the device; metrics without a folder come first.
 */

import type { Metric } from "./model";
import { qualityKind } from "./quality";

export type MetricScope = "all" | "abnormal" | "writable";

export type MetricRow =
  | { readonly kind: "folder"; readonly key: string; readonly folder: string; readonly open: boolean; readonly count: number }
  | { readonly kind: "metric"; readonly key: string; readonly metric: Metric }
  | { readonly kind: "editor"; readonly key: string; readonly metric: Metric };

export interface MetricRowOptions {
  readonly filter: string;
  readonly scope: MetricScope;
  readonly folded: ReadonlySet<string>;
  readonly editing: Metric | null;
}

export function isAbnormal(metric: Metric): boolean {
  return metric.stale || qualityKind(metric.quality) !== "good" || isOutOfRange(metric);
}

/** A value outside of its engineering range, both ends of which are known. */
export function isOutOfRange({ value, low, high }: Metric): boolean {
  if (typeof value !== "number" || low === null || high === null || low >= high) return false;
  return value < low || value > high;
}

function inScope(metric: Metric, scope: MetricScope): boolean {
  if (scope === "abnormal") return isAbnormal(metric);
  return scope === "all" || metric.writable;
}

export function metricRows(metrics: Iterable<Metric>, options: MetricRowOptions): MetricRow[] {
  const words = options.filter.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const folders = new Map<string, Metric[]>([["", []]]);
  for (const metric of metrics) {
    if (!inScope(metric, options.scope) && metric !== options.editing) continue;
    const text = `${metric.name} ${metric.description ?? ""}`.toLowerCase();
    if (!words.every((word) => text.includes(word))) continue;
    const members = folders.get(metric.folder);
    if (members === undefined) folders.set(metric.folder, [metric]);
    else members.push(metric);
  }
  const rows: MetricRow[] = [];
  for (const [folder, members] of folders) {
    if (members.length === 0) continue;
    const open = words.length > 0 || !options.folded.has(folder);
    if (folder !== "") {
      rows.push({ kind: "folder", key: `folder\n${folder}`, folder, open, count: members.length });
    }
    if (!open) continue;
    for (const metric of members) {
      rows.push({ kind: "metric", key: metric.name, metric });
      if (metric === options.editing) rows.push({ kind: "editor", key: `editor\n${metric.name}`, metric });
    }
  }
  return rows;
}
