/**
 * Applies the host's messages to the picture of the plant.
 *
 * Pure but for its own state: no browser, no clock, no Vue. A birth replaces a node's definition and
 * keeps the objects (and the history) of metrics that stay, so that what is open on the page survives.
 */

import type { DeviceJson, MetricJson, NodeJson, SnapshotMessage, ValueTuple } from "../wire/messages";
import { Journal, standing, type Happening } from "./journal";
import { Metric, PlantDevice, PlantNode, type Owner } from "./model";
import { qualityKind } from "./quality";
import { SeriesBudget } from "./seriesBudget";

const FORGET_AFTER_MS = 60_000;

/** What a batch of messages did. */
export class Changes {
  /** Nodes, devices, their metrics or their states changed. */
  structure = false;
  readonly owners = new Set<Owner>();
  readonly happenings: Happening[] = [];
  points = 0;
}

export class Plant {
  readonly nodes = new Map<string, PlantNode>();
  readonly history = new SeriesBudget();
  private readonly journal = new Journal();
  /** Nodes from before the connection was lost, until the new picture names them. */
  private unconfirmed = new Set<string>();
  private settledMs: number | null = null;

  /** The picture after connecting; it is whole when something else than nodes follows. */
  snapshot(message: SnapshotMessage, changes: Changes): void {
    this.unconfirmed = new Set(this.nodes.keys());
    this.settledMs = null;
    for (const node of message.nodes) this.node(node, changes);
    changes.structure = true;
  }

  /**
   * The picture is whole. Of nodes that it did not name nothing is known now: a host that was just
   * started hears of them only when they are born again, so they are lost first and forgotten later.
   */
  settle(nowMs: number, changes: Changes): void {
    if (this.settledMs !== null) return;
    this.settledMs = nowMs;
    for (const id of this.unconfirmed) {
      const node = this.nodes.get(id);
      if (node === undefined) continue;
      for (const owner of [node, ...node.devices.values()]) lose(owner, nowMs);
      changes.structure = true;
    }
  }

  /** Forgets the nodes that nobody named for a while after the picture was whole. */
  forget(nowMs: number, changes: Changes): void {
    if (this.settledMs === null || nowMs < this.settledMs + FORGET_AFTER_MS) return;
    for (const id of this.unconfirmed) changes.structure = this.nodes.delete(id);
    this.unconfirmed.clear();
  }

  /** A birth or death of a node or of one of its devices: the node's whole picture. */
  node(json: NodeJson, changes: Changes): void {
    this.unconfirmed.delete(json.id);
    let node = this.nodes.get(json.id);
    const before = node === undefined ? null : standing(node);
    if (node === undefined) {
      node = new PlantNode(json.id, json.group, json.edge);
      this.nodes.set(json.id, node);
    }
    node.bdSeq = json.bd_seq;
    node.births = json.births;
    node.deaths = json.deaths;
    node.violations = json.violations;
    this.define(node, json, changes);
    const named = new Set(json.devices.map((device) => device.name));
    for (const name of node.devices.keys()) if (!named.has(name)) node.devices.delete(name);
    for (const deviceJson of json.devices) {
      let device = node.devices.get(deviceJson.name);
      if (device === undefined) {
        device = new PlantDevice(node, deviceJson.name);
        node.devices.set(deviceJson.name, device);
      }
      this.define(device, deviceJson, changes);
    }
    if (before !== null) changes.happenings.push(...this.journal.compare(before, node));
    changes.structure = true;
  }

  values(tuples: readonly ValueTuple[], changes: Changes): void {
    for (const [id, device, name, value, quality, timestampMs, stale] of tuples) {
      changes.points += 1;
      const owner = this.nodes.get(id)?.owner(device);
      const metric = owner?.metrics.get(name);
      // A value may overtake the birth that defines it; the birth brings the value again.
      if (owner === null || owner === undefined || metric === undefined) continue;
      const before = owner.staleCount + owner.badCount;
      this.change(metric, { value, quality, timestamp_ms: timestampMs, stale });
      if ((before === 0) !== (owner.staleCount + owner.badCount === 0)) changes.structure = true;
      changes.owners.add(owner);
    }
  }

  private define(owner: Owner, json: DeviceJson | NodeJson, changes: Changes): void {
    owner.online = json.online;
    owner.sinceMs = moment(json.since_ms);
    const known = new Map(owner.metrics);
    owner.metrics.clear();
    owner.staleCount = 0;
    owner.badCount = 0;
    for (const metricJson of json.metrics) {
      let metric = known.get(metricJson.name);
      if (metric === undefined) metric = new Metric(owner, metricJson.name);
      else {
        // Counted again below, from nothing.
        metric.stale = false;
        metric.quality = 192;
      }
      metric.define(metricJson);
      owner.metrics.set(metric.name, metric);
      this.change(metric, metricJson);
    }
    changes.owners.add(owner);
  }

  private change(
    metric: Metric,
    now: Pick<MetricJson, "value" | "quality" | "timestamp_ms" | "stale">,
  ): void {
    const { owner } = metric;
    owner.staleCount += Number(now.stale) - Number(metric.stale && metric.version > 0);
    owner.badCount += Number(isBad(now.quality)) - Number(isBad(metric.quality) && metric.version > 0);
    metric.value = now.value;
    metric.quality = now.quality;
    metric.timestampMs = moment(now.timestamp_ms);
    metric.stale = now.stale;
    metric.version += 1;
    this.history.record(metric);
  }
}

function lose(owner: Owner, nowMs: number): void {
  if (owner.online) owner.sinceMs = nowMs;
  owner.online = false;
  owner.staleCount = owner.metrics.size;
  for (const metric of owner.metrics.values()) {
    metric.stale = true;
    metric.version += 1;
  }
}

/** What was never told comes as 0 or null. */
function moment(timeMs: number | null): number | null {
  return timeMs === 0 ? null : timeMs;
}

function isBad(quality: number): boolean {
  const kind = qualityKind(quality);
  return kind === "bad" || kind === "uncertain";
}
