/**
 * Tells what came and went, from one picture of a node to the next.
 *
 * A birth of the node takes its devices away until each is born again; that is no loss, and nothing
 * is said of it.
 */

import type { PlantNode } from "./model";

export interface Happening {
  readonly level: "info" | "error" | "warning";
  readonly text: string;
  /** By the host's clock; null when the host did not say. */
  readonly atMs: number | null;
}

/** How a node stood before a message changed it. */
export interface NodeBefore {
  readonly online: boolean;
  readonly births: number;
  readonly devices: ReadonlyMap<string, boolean>;
}

export function standing(node: PlantNode): NodeBefore {
  const devices = [...node.devices.values()].map(({ device, online }) => [device, online] as const);
  return { online: node.online, births: node.births, devices: new Map(devices) };
}

export class Journal {
  /** Keys of devices whose loss was told, so that their return is told too. */
  private readonly lost = new Set<string>();

  compare(before: NodeBefore, node: PlantNode): Happening[] {
    if (before.online !== node.online) {
      const text = node.online ? `${node.id} is online again` : `${node.id} is offline`;
      return [{ level: node.online ? "info" : "error", text, atMs: node.sinceMs }];
    }
    if (!node.online || before.births !== node.births) return [];
    const happenings: Happening[] = [];
    for (const [name, device] of node.devices) {
      const was = before.devices.get(name);
      if (was === true && !device.online) {
        this.lost.add(device.key);
        happenings.push({ level: "warning", text: `${device.key} is offline`, atMs: device.sinceMs });
      } else if (was === false && device.online && this.lost.delete(device.key)) {
        happenings.push({ level: "info", text: `${device.key} is online again`, atMs: device.sinceMs });
      }
    }
    return happenings;
  }
}
