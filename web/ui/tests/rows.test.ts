import { describe, expect, it } from "vitest";

import { metricRows, type MetricRowOptions } from "../src/plant/metricRows";
import { Offsets } from "../src/plant/offsets";
import { Changes, Plant } from "../src/plant/plant";
import { treeRows } from "../src/plant/treeRows";
import { device, metric, node, snapshot } from "./plants";

const plant = new Plant();
plant.snapshot(
  snapshot([
    node("utilities/boiler", [device("pump")], { online: false }),
    node("bottling/line-10", [device("filler")]),
    node("bottling/line-2", [device("labeller"), device("filler", [metric("a", { quality: 0 })])]),
  ]),
  new Changes(),
);
const nodes = [...plant.nodes.values()];
const labels = (folded: string[], filter: string) =>
  treeRows(nodes, new Set(folded), filter).map((row) => `${"  ".repeat(row.level - 1)}${row.label}`);

describe("the tree", () => {
  it("sorts as people count", () => {
    expect(labels([], "")).toEqual([
      "bottling",
      "  line-2",
      "    filler",
      "    labeller",
      "  line-10",
      "    filler",
      "utilities",
      "  boiler",
      "    pump",
    ]);
  });

  it("hides what stands below a folded row", () => {
    expect(labels(["bottling/", "utilities/boiler"], "")).toEqual(["bottling", "utilities", "  boiler"]);
  });

  it("shows what the filter matches with what stands above it, folded or not", () => {
    expect(labels(["bottling/"], "label")).toEqual(["bottling", "  line-2", "    labeller"]);
    expect(labels([], "bottling fill")).toEqual([
      "bottling",
      "  line-2",
      "    filler",
      "  line-10",
      "    filler",
    ]);
    expect(labels([], "LINE-10/filler")).toEqual(["bottling", "  line-10", "    filler"]);
    expect(labels([], "nothing")).toEqual([]);
  });

  it("tells each row's health and place among its siblings", () => {
    const rows = treeRows(nodes, new Set(), "");
    expect(rows.map((row) => row.health)).toEqual([
      "bad",
      "bad",
      "bad",
      "good",
      "good",
      "good",
      "offline",
      "offline",
      "good",
    ]);
    expect(rows[4]).toMatchObject({ key: "bottling/line-10", position: 2, siblings: 2, parent: "bottling/" });
  });
});

describe("the metric rows", () => {
  const filler = new Plant();
  filler.snapshot(
    snapshot([
      node("g/e", [], {
        metrics: [
          metric("Drive/Current", { quality: 0 }),
          metric("Drive/Speed", { writable: true, description: "Bottles a minute" }),
          metric("State"),
          metric("Product/Cooler/Temperature", { value: 90, low: 0, high: 80 }),
        ],
      }),
    ]),
    new Changes(),
  );
  const owner = filler.nodes.get("g/e");
  const rows = (options: Partial<MetricRowOptions>) =>
    metricRows(owner?.metrics.values() ?? [], {
      filter: "",
      scope: "all",
      folded: new Set(),
      editing: null,
      ...options,
    }).map((row) => (row.kind === "folder" ? `${row.folder} ${row.count}` : `${row.kind} ${row.metric.name}`));

  it("come by folder in the order of the birth, those without a folder first", () => {
    expect(rows({})).toEqual([
      "metric State",
      "Drive 2",
      "metric Drive/Current",
      "metric Drive/Speed",
      "Product/Cooler 1",
      "metric Product/Cooler/Temperature",
    ]);
  });

  it("hide a folded folder's metrics but not from a filter", () => {
    const folded = new Set(["Drive"]);
    expect(rows({ folded })).toEqual([
      "metric State",
      "Drive 2",
      "Product/Cooler 1",
      "metric Product/Cooler/Temperature",
    ]);
    expect(rows({ folded, filter: "bottles" })).toEqual(["Drive 1", "metric Drive/Speed"]);
  });

  it("can be those that are abnormal: bad, stale or out of range", () => {
    expect(rows({ scope: "abnormal" })).toEqual([
      "Drive 1",
      "metric Drive/Current",
      "Product/Cooler 1",
      "metric Product/Cooler/Temperature",
    ]);
  });

  it("have the editor below its metric, whatever the scope", () => {
    const editing = owner?.metrics.get("Drive/Speed") ?? null;
    expect(rows({ scope: "abnormal", editing })).toContain("editor Drive/Speed");
    expect(rows({ scope: "writable", editing })).toEqual([
      "Drive 1",
      "metric Drive/Speed",
      "editor Drive/Speed",
    ]);
  });
});

describe("offsets", () => {
  const offsets = new Offsets(4, (index) => (index === 1 ? 50 : 10));

  it("add up rows of different heights", () => {
    expect([0, 1, 2, 3].map((index) => offsets.top(index))).toEqual([0, 10, 60, 70]);
    expect(offsets.total).toBe(80);
  });

  it("find the row at a height, held within the list", () => {
    expect([-5, 0, 9, 10, 59, 60, 79, 500].map((y) => offsets.at(y))).toEqual([0, 0, 0, 1, 1, 2, 3, 3]);
    expect(new Offsets(0, () => 10).at(5)).toBe(0);
  });
});
