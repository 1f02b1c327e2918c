/**
 * The tree of groups, nodes and devices as the list of rows that are to be seen.
 *
 * A filter shows what it matches with everything above and below it, whatever is folded.
 */

import { deviceHealth, nodeHealth, type Health, type PlantNode } from "./model";

export interface TreeRow {
  /** Address of what the row stands for, and its identity: "" is the whole plant. */
  readonly key: string;
  readonly kind: "group" | "node" | "device";
  readonly label: string;
  readonly level: number;
  readonly health: Health;
  readonly expanded: boolean | null;
  readonly position: number;
  readonly siblings: number;
  readonly parent: string | null;
}

/** Groups carry this mark so that a group and a node can never share a key. */
export function groupKey(group: string): string {
  return `${group}/`;
}

const natural = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

export function naturally(left: string, right: string): number {
  return natural.compare(left, right);
}

export function groupsOf(nodes: Iterable<PlantNode>): Map<string, PlantNode[]> {
  const groups = new Map<string, PlantNode[]>();
  for (const node of nodes) {
    const members = groups.get(node.group);
    if (members === undefined) groups.set(node.group, [node]);
    else members.push(node);
  }
  for (const members of groups.values()) members.sort((a, b) => naturally(a.edge, b.edge));
  return new Map([...groups].sort(([a], [b]) => naturally(a, b)));
}

const WORSE: readonly Health[] = ["good", "bad", "stale", "offline"];

function groupHealth(nodes: readonly PlantNode[]): Health {
  const worst = Math.max(0, ...nodes.map((node) => WORSE.indexOf(nodeHealth(node))));
  const health = WORSE[worst] ?? "good";
  // A group with one node away is not away itself.
  return health === "offline" && nodes.some((node) => node.online) ? "stale" : health;
}

export function treeRows(
  nodes: Iterable<PlantNode>,
  folded: ReadonlySet<string>,
  filter: string,
): TreeRow[] {
  const words = filter.toLowerCase().split(/[\s/]+/).filter((word) => word !== "");
  const matches = (path: string): boolean => {
    const lower = path.toLowerCase();
    return words.every((word) => lower.includes(word));
  };
  const rows: TreeRow[] = [];
  const groups = [...groupsOf(nodes)]
    .map(([group, members]) => ({
      group,
      members: members
        .map((node) => ({
          node,
          devices: [...node.devices.values()]
            .filter((device) => matches(`${node.id}/${device.device}`))
            .sort((a, b) => naturally(a.device, b.device)),
        }))
        .filter(({ node, devices }) => devices.length > 0 || matches(node.id)),
    }))
    .filter(({ members }) => members.length > 0);
  groups.forEach(({ group, members }, groupIndex) => {
    const key = groupKey(group);
    const open = words.length > 0 || !folded.has(key);
    rows.push({
      key,
      kind: "group",
      label: group,
      level: 1,
      health: groupHealth(members.map(({ node }) => node)),
      expanded: open,
      position: groupIndex + 1,
      siblings: groups.length,
      parent: null,
    });
    if (!open) return;
    members.forEach(({ node, devices }, nodeIndex) => {
      const nodeOpen = words.length > 0 || !folded.has(node.id);
      rows.push({
        key: node.id,
        kind: "node",
        label: node.edge,
        level: 2,
        health: nodeHealth(node),
        expanded: devices.length === 0 ? null : nodeOpen,
        position: nodeIndex + 1,
        siblings: members.length,
        parent: key,
      });
      if (!nodeOpen) return;
      devices.forEach((device, deviceIndex) => {
        rows.push({
          key: device.key,
          kind: "device",
          label: device.device,
          level: 3,
          health: deviceHealth(device),
          expanded: null,
          position: deviceIndex + 1,
          siblings: devices.length,
          parent: node.id,
        });
      });
    });
  });
  return rows;
}
