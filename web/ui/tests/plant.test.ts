import { describe, expect, it } from "vitest";

import { deviceHealth, nodeHealth } from "../src/plant/model";
import { Changes, Plant } from "../src/plant/plant";
import { device, metric, node, snapshot, value } from "./plants";

function plantWith(...nodes: ReturnType<typeof node>[]): Plant {
  const plant = new Plant();
  plant.snapshot(snapshot(nodes), new Changes());
  return plant;
}

const FILLER = ["bottling/line-1", "filler", "Temperature"] as const;

function line(): Plant {
  return plantWith(node("bottling/line-1", [device("filler", [metric("Temperature"), metric("Pressure")])]));
}

describe("a snapshot", () => {
  it("brings nodes, devices and metrics", () => {
    const filler = line().nodes.get("bottling/line-1")?.devices.get("filler");
    expect([...(filler?.metrics.keys() ?? [])]).toEqual(["Temperature", "Pressure"]);
  });

  it("has lost the nodes that it did not name once it is whole, and forgets them later", () => {
    const gone = node("g/gone", [device("filler", [metric("a"), metric("b")])]);
    const plant = plantWith(gone, node("g/first"), node("g/later"));
    const kept = plant.nodes.get("g/later");
    plant.snapshot(snapshot([node("g/first")]), new Changes());
    plant.node(node("g/later"), new Changes());
    plant.settle(5_000, new Changes());
    expect(plant.nodes.get("g/later")).toBe(kept);
    expect([...plant.nodes.values()].map((each) => each.online)).toEqual([false, true, true]);
    expect(plant.nodes.get("g/gone")?.devices.get("filler")).toMatchObject({ staleCount: 2, sinceMs: 5_000 });
    plant.forget(64_999, new Changes());
    expect(plant.nodes.size).toBe(3);
    const changes = new Changes();
    plant.forget(65_000, changes);
    expect([...plant.nodes.keys()]).toEqual(["g/first", "g/later"]);
    expect(changes.structure).toBe(true);
  });

  it("of a host that was just started is followed by the births that bring lost nodes back", () => {
    const plant = plantWith(node("g/e", [device("filler", [metric("a")])]));
    plant.snapshot(snapshot([]), new Changes());
    plant.settle(5_000, new Changes());
    const changes = new Changes();
    plant.node(node("g/e", [device("filler", [metric("a")])]), changes);
    expect(changes.happenings.map(({ text }) => text)).toEqual(["g/e is online again"]);
    expect(plant.nodes.get("g/e")?.devices.get("filler")?.staleCount).toBe(0);
    plant.forget(1e9, new Changes());
    expect(plant.nodes.size).toBe(1);
  });

  it("keeps the history of a metric that is still there", () => {
    const plant = line();
    plant.values([value(FILLER, 2)], new Changes());
    plant.snapshot(
      snapshot([node("bottling/line-1", [device("filler", [metric("Temperature", { value: 3, timestamp_ms: 3_000 })])])]),
      new Changes(),
    );
    const series = plant.nodes.get("bottling/line-1")?.devices.get("filler")?.metrics.get("Temperature")?.series;
    expect(series?.length).toBe(3);
  });
});

describe("values", () => {
  it("change the metric and name its owner", () => {
    const plant = line();
    const changes = new Changes();
    plant.values([value(FILLER, 7.5)], changes);
    const filler = plant.nodes.get("bottling/line-1")?.devices.get("filler");
    expect(filler?.metrics.get("Temperature")).toMatchObject({ value: 7.5, timestampMs: 2_000 });
    expect([...changes.owners]).toEqual([filler]);
    expect(changes.points).toBe(1);
    expect(changes.structure).toBe(false);
  });

  it("of nodes, devices or metrics that were not born are left out", () => {
    const plant = line();
    const changes = new Changes();
    plant.values(
      [
        value(["bottling/line-9", null, "x"], 1),
        value(["bottling/line-1", "capper", "x"], 1),
        value(["bottling/line-1", "filler", "x"], 1),
      ],
      changes,
    );
    expect(changes.owners.size).toBe(0);
  });

  it("reach the node's own metrics when the device is null", () => {
    const plant = plantWith(node("g/e", [], { metrics: [metric("Uptime")] }));
    plant.values([value(["g/e", null, "Uptime"], 12)], new Changes());
    expect(plant.nodes.get("g/e")?.metrics.get("Uptime")?.value).toBe(12);
  });

  it("that turn stale or bad are counted, and counted off when good again", () => {
    const plant = line();
    const filler = plant.nodes.get("bottling/line-1")?.devices.get("filler");
    const changes = new Changes();
    plant.values([value(FILLER, 1, { quality: 500, stale: true })], changes);
    expect(filler).toMatchObject({ staleCount: 1, badCount: 0 });
    expect(changes.structure).toBe(true);
    plant.values([value(FILLER, 1, { quality: 0 })], new Changes());
    expect(filler).toMatchObject({ staleCount: 0, badCount: 1 });
    plant.values([value(FILLER, 1)], new Changes());
    expect(filler).toMatchObject({ staleCount: 0, badCount: 0 });
  });
});

describe("a birth or death", () => {
  it("replaces a node's definition, devices that are gone included", () => {
    const plant = line();
    plant.node(node("bottling/line-1", [device("capper", [metric("Torque")])], { births: 2 }), new Changes());
    const line1 = plant.nodes.get("bottling/line-1");
    expect([...(line1?.devices.keys() ?? [])]).toEqual(["capper"]);
    expect(line1?.births).toBe(2);
  });

  it("counts stale metrics anew", () => {
    const plant = line();
    const stale = { stale: true, quality: 500 };
    const dead = node("bottling/line-1", [
      device("filler", [metric("Temperature", stale), metric("Pressure", stale)], { online: false }),
    ]);
    plant.node(dead, new Changes());
    plant.node(dead, new Changes());
    expect(plant.nodes.get("bottling/line-1")?.devices.get("filler")?.staleCount).toBe(2);
  });

  it("keeps the order in which the birth names the metrics", () => {
    const plant = line();
    plant.node(
      node("bottling/line-1", [device("filler", [metric("Pressure"), metric("New"), metric("Temperature")])]),
      new Changes(),
    );
    const names = plant.nodes.get("bottling/line-1")?.devices.get("filler")?.metrics.keys();
    expect([...(names ?? [])]).toEqual(["Pressure", "New", "Temperature"]);
  });
});

describe("what came and went", () => {
  const texts = (plant: Plant, next: ReturnType<typeof node>) => {
    const changes = new Changes();
    plant.node(next, changes);
    return changes.happenings.map(({ text }) => text);
  };
  const with_ = (filler: boolean, changes = {}) => node("g/e", [device("filler", [], { online: filler })], changes);

  it("is told of a node, its devices not counted apart", () => {
    const plant = plantWith(with_(true));
    expect(texts(plant, with_(false, { online: false }))).toEqual(["g/e is offline"]);
    expect(texts(plant, with_(true, { births: 2 }))).toEqual(["g/e is online again"]);
  });

  it("is told of a device that is lost and found", () => {
    const plant = plantWith(with_(true));
    expect(texts(plant, with_(false))).toEqual(["g/e/filler is offline"]);
    expect(texts(plant, with_(false))).toEqual([]);
    expect(texts(plant, with_(true))).toEqual(["g/e/filler is online again"]);
  });

  it("is not told of devices that are born again after their node's rebirth", () => {
    const plant = plantWith(with_(true));
    expect(texts(plant, with_(false, { births: 2 }))).toEqual([]);
    expect(texts(plant, with_(true, { births: 2 }))).toEqual([]);
  });

  it("is not told of what is met for the first time", () => {
    expect(texts(new Plant(), with_(false, { online: false }))).toEqual([]);
  });
});

it("does not take a time that was never told for 1970", () => {
  const plant = plantWith(node("g/e", [device("d", [metric("a", { timestamp_ms: 0 })], { since_ms: 0 })]));
  const part = plant.nodes.get("g/e")?.devices.get("d");
  expect(part?.sinceMs).toBeNull();
  expect(part?.metrics.get("a")?.timestampMs).toBeNull();
});

describe("health", () => {
  it("of a device is offline before it is stale, stale before it is bad", () => {
    const plant = plantWith(
      node("g/e", [
        device("good", [metric("a")]),
        device("bad", [metric("a", { quality: 0 })]),
        device("stale", [metric("a", { stale: true, quality: 500 }), metric("b", { quality: 0 })]),
        device("offline", [metric("a", { stale: true })], { online: false }),
      ]),
    );
    for (const part of plant.nodes.get("g/e")?.devices.values() ?? []) expect(deviceHealth(part)).toBe(part.device);
  });

  it("of an online node that lost a device is stale", () => {
    const plant = plantWith(node("g/e", [device("a"), device("b", [], { online: false })]));
    expect([...plant.nodes.values()].map(nodeHealth)).toEqual(["stale"]);
  });
});
