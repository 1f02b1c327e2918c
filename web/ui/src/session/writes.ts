/**
 * Writes under way: asked for, accepted, seen coming back, or refused.
 *
 * A write is done only when the host says that the node reported the value; until then it is pending.
 */

import { shallowReactive } from "vue";

import { formatUnit, plainValue } from "../plant/format";
import type { Metric } from "../plant/model";
import type { Value, WriteResultMessage } from "../wire/messages";
import { requestWrite } from "../wire/rest";
import type { Toasts } from "./toasts";

export interface Attempt {
  readonly metric: Metric;
  readonly value: Value;
  readonly state: "sending" | "waiting" | "failed";
  readonly reason: string | null;
}

/** The host answers within 5 s; past this the answer itself was lost. */
const SILENCE_MS = 12_000;
const EARLY_KEPT = 50;

export class Writes {
  /** By metric key: a metric has one write under way at a time. */
  readonly attempts = shallowReactive(new Map<string, Attempt>());
  /** The metric whose editor is open: it tells of a failure itself. */
  open: Metric | null = null;
  private readonly toasts: Toasts;
  private readonly accepted = new Map<string, Attempt>();
  /** Outcomes that overtook the answer to their own request. */
  private readonly early = new Map<string, WriteResultMessage>();

  constructor(toasts: Toasts) {
    this.toasts = toasts;
  }

  pending(metric: Metric): boolean {
    const state = this.attempts.get(metric.key)?.state;
    return state === "sending" || state === "waiting";
  }

  /** Forgets a failed attempt that was read. */
  clear(metric: Metric): void {
    if (!this.pending(metric)) this.attempts.delete(metric.key);
  }

  async start(metric: Metric, value: Value): Promise<void> {
    if (this.pending(metric)) return;
    this.attempts.set(metric.key, { metric, value, state: "sending", reason: null });
    const { node, device } = metric.owner;
    let id: string;
    try {
      id = await requestWrite({ group: node.group, edge: node.edge, device, metric: metric.name }, value);
    } catch (error) {
      this.fail(metric, value, error instanceof Error ? error.message : String(error));
      return;
    }
    const attempt: Attempt = { metric, value, state: "waiting", reason: null };
    this.accepted.set(id, attempt);
    this.attempts.set(metric.key, attempt);
    const early = this.early.get(id);
    if (early !== undefined) this.result(early);
    else {
      setTimeout(() => {
        this.settle(id, "The host did not say what became of the write.");
      }, SILENCE_MS);
    }
  }

  result(message: WriteResultMessage): void {
    if (!this.accepted.has(message.id)) {
      this.early.set(message.id, message);
      for (const id of this.early.keys()) {
        if (this.early.size <= EARLY_KEPT) break;
        this.early.delete(id);
      }
      return;
    }
    this.early.delete(message.id);
    const problem = message.ok ? null : (message.reason ?? "The host gave no reason.");
    this.settle(message.id, problem, message.ok ? message.reason : null);
  }

  /** The socket is gone: outcomes that were to come on it will not come. */
  lostConnection(): void {
    for (const id of [...this.accepted.keys()]) {
      this.settle(id, "The connection was lost before the outcome was known. Look at the value.");
    }
  }

  private settle(id: string, problem: string | null, remark: string | null = null): void {
    const attempt = this.accepted.get(id);
    if (attempt === undefined) return;
    this.accepted.delete(id);
    const { metric, value } = attempt;
    if (problem === null) {
      this.attempts.delete(metric.key);
      const more = remark === null ? "" : `: ${remark}`;
      this.toasts.show("calm", `${metric.name} is now ${describe(metric, value)}${more}`);
    } else this.fail(metric, value, problem);
  }

  private fail(metric: Metric, value: Value, reason: string): void {
    this.attempts.set(metric.key, { metric, value, state: "failed", reason });
    if (this.open === metric) return;
    this.toasts.show("alarm", `${metric.name} was not set to ${describe(metric, value)}: ${reason}`);
  }
}

export function describe(metric: Metric, value: Value): string {
  const text = plainValue(value, metric);
  return `${text}\u00a0${formatUnit(metric.unit)}`.trim();
}
