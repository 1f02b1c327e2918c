/** Small plants, as the host would tell them. */

import type { DeviceJson, MetricJson, NodeJson, SnapshotMessage, ValueTuple } from "../src/wire/messages";

export function metric(name: string, changes: Partial<MetricJson> = {}): MetricJson {
  return {
    name,
    datatype: "Float",
    value: 1,
    quality: 192,
    timestamp_ms: 1_000,
    stale: false,
    unit: null,
    low: null,
    high: null,
    description: null,
    enumeration: null,
    writable: false,
    ...changes,
  };
}

export function device(name: string, metrics: MetricJson[] = [], changes: Partial<DeviceJson> = {}): DeviceJson {
  return { name, online: true, since_ms: 500, metrics, ...changes };
}

export function node(id: string, devices: DeviceJson[] = [], changes: Partial<NodeJson> = {}): NodeJson {
  const [group = "", edge = ""] = id.split("/");
  return {
    id,
    group,
    edge,
    online: true,
    since_ms: 500,
    bd_seq: 0,
    births: 1,
    deaths: 0,
    violations: 0,
    metrics: [],
    devices,
    ...changes,
  };
}

export function snapshot(nodes: NodeJson[]): SnapshotMessage {
  return { type: "snapshot", server_time_ms: 1_000, host: { id: "nexus", online: true }, nodes };
}

export function value(
  address: readonly [node: string, device: string | null, metric: string],
  now: ValueTuple[3],
  { quality = 192, timestampMs = 2_000, stale = false } = {},
): ValueTuple {
  return [...address, now, quality, timestampMs, stale];
}
