/**
 * The plant as the console holds it: nodes, devices, metrics.
 *
 * Plain mutable objects, deliberately outside Vue's reactivity: at a hundred thousand metrics a proxy
 * each is what freezes a page. What changed is told by `Plant.apply` and by the `version` of a metric.
 */

import type { MetricJson, Value } from "../wire/messages";
import type { Series } from "./series";

export class Metric {
  readonly owner: Owner;
  readonly name: string;
  /** The last part of the name; what stands before it is the folder. */
  readonly leaf: string;
  readonly folder: string;
  datatype = "";
  value: Value = null;
  quality = 0;
  timestampMs: number | null = null;
  stale = false;
  unit: string | null = null;
  low: number | null = null;
  high: number | null = null;
  description: string | null = null;
  enumeration: Readonly<Record<string, string>> | null = null;
  writable = false;
  series: Series | null = null;
  /** Grows with every change, so that a row knows when to draw itself again. */
  version = 0;

  constructor(owner: Owner, name: string) {
    this.owner = owner;
    this.name = name;
    const cut = name.lastIndexOf("/");
    this.folder = cut < 0 ? "" : name.slice(0, cut);
    this.leaf = cut < 0 ? name : name.slice(cut + 1);
  }

  /** Unique in the plant and stable over rebirths. */
  get key(): string {
    return `${this.owner.key}\n${this.name}`;
  }

  define(json: MetricJson): void {
    this.datatype = json.datatype;
    this.unit = json.unit;
    this.low = typeof json.low === "number" ? json.low : null;
    this.high = typeof json.high === "number" ? json.high : null;
    this.description = json.description;
    this.enumeration = json.enumeration;
    this.writable = json.writable;
  }
}

/** What has metrics: a node, or a device of one. */
export interface Owner {
  readonly key: string;
  /** The device's name; null for the node itself. */
  readonly device: string | null;
  readonly node: PlantNode;
  readonly metrics: Map<string, Metric>;
  online: boolean;
  sinceMs: number | null;
  staleCount: number;
  badCount: number;
}

export class PlantDevice implements Owner {
  readonly node: PlantNode;
  readonly device: string;
  readonly key: string;
  readonly metrics = new Map<string, Metric>();
  online = false;
  sinceMs: number | null = null;
  staleCount = 0;
  badCount = 0;

  constructor(node: PlantNode, name: string) {
    this.node = node;
    this.device = name;
    this.key = `${node.id}/${name}`;
  }
}

export class PlantNode implements Owner {
  readonly id: string;
  readonly group: string;
  readonly edge: string;
  readonly device = null;
  readonly metrics = new Map<string, Metric>();
  readonly devices = new Map<string, PlantDevice>();
  online = false;
  sinceMs: number | null = null;
  bdSeq: number | null = null;
  births = 0;
  deaths = 0;
  violations = 0;
  staleCount = 0;
  badCount = 0;

  constructor(id: string, group: string, edge: string) {
    this.id = id;
    this.group = group;
    this.edge = edge;
  }

  get key(): string {
    return this.id;
  }

  get node(): this {
    return this;
  }

  owner(device: string | null): Owner | null {
    return device === null ? this : (this.devices.get(device) ?? null);
  }
}

/** How a node, or what belongs to it, stands. Only the last three deserve colour. */
export type Health = "good" | "bad" | "stale" | "offline";

export function deviceHealth(owner: Owner): Health {
  if (!owner.online) return "offline";
  if (owner.staleCount > 0) return "stale";
  return owner.badCount > 0 ? "bad" : "good";
}

/** A node is as well as its worst part; a device that is lost makes an online node stale. */
export function nodeHealth(node: PlantNode): Health {
  const own = deviceHealth(node);
  if (own === "offline" || own === "stale") return own;
  let health = own;
  for (const device of node.devices.values()) {
    const part = deviceHealth(device);
    if (part === "offline" || part === "stale") return "stale";
    if (part === "bad") health = "bad";
  }
  return health;
}
