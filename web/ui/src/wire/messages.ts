/**
 * What crosses between the host and the console: the JSON of the REST interface and of the live socket.
 *
 * Knows nothing of the browser. Field names are the wire's own (snake_case).
 */

export type Value = number | string | boolean | null | readonly unknown[] | Readonly<Record<string, unknown>>;

export interface MetricJson {
  readonly name: string;
  /** Sparkplug's name of the type, as in "Float", "UInt64", "DateTime". */
  readonly datatype: string;
  readonly value: Value;
  readonly quality: number;
  readonly timestamp_ms: number | null;
  readonly stale: boolean;
  readonly unit: string | null;
  /** The ends of the engineering range; an infinite one comes as a string. */
  readonly low: number | string | null;
  readonly high: number | string | null;
  readonly description: string | null;
  /** What the numbers mean, by their digits. */
  readonly enumeration: Readonly<Record<string, string>> | null;
  readonly writable: boolean;
}

export interface DeviceJson {
  readonly name: string;
  readonly online: boolean;
  readonly since_ms: number | null;
  readonly metrics: readonly MetricJson[];
}

export interface NodeJson {
  /** "group/edge", unique in the plant. */
  readonly id: string;
  readonly group: string;
  readonly edge: string;
  readonly online: boolean;
  readonly since_ms: number | null;
  readonly bd_seq: number | null;
  readonly births: number;
  readonly deaths: number;
  readonly violations: number;
  readonly metrics: readonly MetricJson[];
  readonly devices: readonly DeviceJson[];
}

export interface HostJson {
  readonly id: string;
  /** Whether STATE says online on every broker. */
  readonly online: boolean;
  /** primary, active or passive: a passive host only listens. */
  readonly mode?: string;
  /** What the host lacks, one sentence each. */
  readonly problems?: readonly string[];
}

/** node id, device or null, metric name, value, quality, timestamp in ms, stale */
export type ValueTuple = readonly [
  node: string,
  device: string | null,
  metric: string,
  value: Value,
  quality: number,
  timestampMs: number | null,
  stale: boolean,
];

/** The whole picture. Of a big plant these are the first nodes; the others follow as node messages. */
export interface SnapshotMessage {
  readonly type: "snapshot";
  readonly server_time_ms: number;
  readonly host: HostJson;
  readonly nodes: readonly NodeJson[];
}

export interface NodeMessage {
  readonly type: "node";
  readonly node: NodeJson;
}

export interface ValuesMessage {
  readonly type: "values";
  readonly server_time_ms: number;
  readonly values: readonly ValueTuple[];
}

export interface WriteResultMessage {
  readonly type: "write_result";
  readonly id: string;
  readonly ok: boolean;
  readonly reason: string | null;
}

export interface NoticeMessage {
  readonly type: "notice";
  readonly level: string;
  readonly text: string;
  readonly at_ms: number;
}

export interface HostMessage {
  readonly type: "host";
  readonly host: HostJson;
}

export type ServerMessage =
  | SnapshotMessage
  | NodeMessage
  | ValuesMessage
  | WriteResultMessage
  | NoticeMessage
  | HostMessage;

const KNOWN: ReadonlySet<string> = new Set<ServerMessage["type"]>([
  "snapshot",
  "node",
  "values",
  "write_result",
  "notice",
  "host",
]);

/**
 * Reads one frame of the live socket.
 *
 * Returns null for a type this console does not know, so that a newer host can say more than it
 * understands. Throws SyntaxError when the text is not JSON.
 */
export function parseMessage(text: string): ServerMessage | null {
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== "object" || parsed === null || !("type" in parsed)) return null;
  return typeof parsed.type === "string" && KNOWN.has(parsed.type) ? (parsed as ServerMessage) : null;
}
