/**
 * Decides which metrics have a history in the browser.
 *
 * Every numeric metric while they are few; past the budget the oldest give way to those in view, so
 * that memory stays bounded however large the plant is.
 */

import type { Metric } from "./model";
import { numeric } from "./numbers";
import { Series } from "./series";

/** Samples kept for a sparkline, and for a metric whose trend was opened. */
const SPARK_SAMPLES = 480;
const TREND_SAMPLES = 20_000;
const DEFAULT_BUDGET = 5_000;

export class SeriesBudget {
  private readonly budget: number;
  private readonly holders = new Set<Metric>();

  constructor(budget = DEFAULT_BUDGET) {
    this.budget = budget;
  }

  get size(): number {
    return this.holders.size;
  }

  /** Takes the metric's present value into its history, if it has one or there is room for one. */
  record(metric: Metric): void {
    const value = numeric(metric.value, metric.datatype);
    if (value === null || metric.timestampMs === null || metric.stale) return;
    if (metric.series === null) {
      if (this.holders.size >= this.budget) return;
      this.open(metric);
    }
    metric.series?.push(metric.timestampMs, value);
  }

  /** Gives these metrics a history from now on; those looked at least recently lose theirs. */
  watch(metrics: Iterable<Metric>): void {
    for (const metric of metrics) {
      if (numeric(metric.value, metric.datatype) === null) continue;
      this.holders.delete(metric);
      this.open(metric);
      this.record(metric);
    }
    for (const oldest of this.holders) {
      if (this.holders.size <= this.budget) break;
      this.holders.delete(oldest);
      oldest.series = null;
    }
  }

  /** A long history for the one metric whose trend is open. */
  trend(metric: Metric): Series {
    this.holders.delete(metric);
    const series = this.open(metric);
    series.extend(TREND_SAMPLES);
    this.record(metric);
    return series;
  }

  private open(metric: Metric): Series {
    this.holders.add(metric);
    metric.series ??= new Series(SPARK_SAMPLES);
    return metric.series;
  }
}
