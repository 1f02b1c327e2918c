/** What the host tells of one node's behaviour. */

export interface LatencyJson {
  readonly least: number;
  readonly mean: number;
  readonly most: number;
}

export interface DiagnosticsJson {
  readonly id: string;
  readonly birth_ms: number | null;
  readonly bd_seq: number | null;
  readonly counters: Readonly<Record<string, number>>;
  /** Why births were asked for, the most frequent cause first. */
  readonly rebirths: readonly { readonly cause: string; readonly count: number }[];
  readonly last_rebirth: { readonly at_ms: number; readonly reason: string } | null;
  readonly violations: readonly {
    readonly kind: string;
    /** The statement of the specification that it breaks; null for what may be a loss on the way. */
    readonly statement: string | null;
    readonly count: number;
  }[];
  readonly last_violation: string | null;
  readonly traffic: {
    readonly bytes: number;
    readonly mean_payload_bytes: number | null;
    readonly largest_payload_bytes: number;
    readonly last_message_ms: number | null;
    readonly messages_per_s: number;
    readonly metrics_per_s: number;
    readonly latency_ms: LatencyJson | null;
    /** The longest time from a value's acquisition to its arrival. */
    readonly metric_latency_ms?: number | null;
    /** How far the node's clock is ahead. */
    readonly clock_skew_ms: number | null;
  };
  /** Newest first. */
  readonly journal: readonly { readonly at_ms: number; readonly kind: string; readonly text: string }[];
}
