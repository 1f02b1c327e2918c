import { describe, expect, it } from "vitest";

import { Changes, Plant } from "../src/plant/plant";
import { Series } from "../src/plant/series";
import { SeriesBudget } from "../src/plant/seriesBudget";
import { sparkPath } from "../src/plant/sparkline";
import { device, metric, node, snapshot } from "./plants";

function filled(limit: number, count: number): Series {
  const series = new Series(limit);
  for (let index = 0; index < count; index += 1) series.push(index * 1_000, index);
  return series;
}

function values(series: Series): number[] {
  return Array.from({ length: series.length }, (_, index) => series.valueAt(index));
}

describe("a series", () => {
  it("grows to its limit and then forgets the oldest", () => {
    expect(values(filled(40, 45))).toEqual(Array.from({ length: 40 }, (_, index) => index + 5));
  });

  it("can be let grow after it was full, keeping what it holds", () => {
    const series = filled(20, 30);
    series.extend(50);
    for (let index = 30; index < 50; index += 1) series.push(index * 1_000, index);
    expect(values(series)).toEqual(Array.from({ length: 40 }, (_, index) => index + 10));
  });

  it("never goes back in time; the same time replaces", () => {
    const series = filled(20, 3);
    series.push(500, 9);
    series.push(2_000, 7);
    expect(values(series)).toEqual([0, 1, 7]);
  });

  it("finds the sample that held at a time", () => {
    const series = filled(20, 30);
    expect(series.indexAt(9_999)).toBe(-1);
    expect(series.valueAt(series.indexAt(12_500))).toBe(12);
    expect(series.indexAt(1e9)).toBe(19);
  });
});

describe("a sparkline", () => {
  const box = { width: 100, height: 20, fromMs: 0, toMs: 10_000, knownMs: 10_000 };

  it("holds each value until the next and the last until now", () => {
    const series = new Series(20);
    series.push(0, 0);
    series.push(5_000, 10);
    expect(sparkPath(series, box)).toBe("M0.0 18.0H50.0V2.0H100.0");
  });

  it("begins with the value that held before the window", () => {
    const series = new Series(20);
    series.push(-60_000, 5);
    expect(sparkPath(series, box)).toBe("M0.0 10.0H100.0");
  });

  it("ends where a stale value was last heard, and is nothing without samples", () => {
    const series = new Series(20);
    series.push(1_000, 5);
    expect(sparkPath(series, { ...box, knownMs: 4_000 })).toBe("M10.0 10.0H40.0");
    expect(sparkPath(new Series(20), box)).toBe("");
  });
});

describe("the budget of histories", () => {
  function metrics(count: number, datatype = "Float"): Plant {
    const plant = new Plant();
    const names = Array.from({ length: count }, (_, index) => metric(`m${index}`, { datatype }));
    plant.snapshot(snapshot([node("g/e", [device("d", names)])]), new Changes());
    return plant;
  }
  const of = (plant: Plant) => [...(plant.nodes.get("g/e")?.devices.get("d")?.metrics.values() ?? [])];

  it("is not exceeded by values that come in", () => {
    const budget = new SeriesBudget(3);
    const all = of(metrics(5));
    for (const one of all) {
      one.series = null;
      budget.record(one);
    }
    expect(all.filter((one) => one.series !== null).map((one) => one.name)).toEqual(["m0", "m1", "m2"]);
  });

  it("goes to those in view, from those seen longest ago", () => {
    const budget = new SeriesBudget(3);
    const all = of(metrics(5));
    for (const one of all) {
      one.series = null;
      budget.record(one);
    }
    budget.watch(all.slice(3));
    expect(all.filter((one) => one.series !== null).map((one) => one.name)).toEqual(["m2", "m3", "m4"]);
    expect(budget.size).toBe(3);
  });

  it("is not spent on what cannot be plotted", () => {
    expect(of(metrics(2, "String")).every((one) => one.series === null)).toBe(true);
  });
});
