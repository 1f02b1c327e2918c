import { describe, expect, it } from "vitest";

import { courseOf, gapAt, heldIndex } from "../src/plant/course";
import { formatTimeTicks } from "../src/plant/format";
import { Series } from "../src/plant/series";
import type { PictureJson } from "../src/wire/history";

function seen(...samples: readonly (readonly [ms: number, value: number])[]): Series {
  const series = new Series(100);
  for (const [ms, value] of samples) series.push(ms, value);
  return series;
}

function picture(parts: Partial<PictureJson>): PictureJson {
  return { step_ms: null, rows: [], before: null, outages: [], ...parts };
}

describe("the course of a metric", () => {
  it("starts with the sample before the window and holds the last value until now", () => {
    const series = seen([0, 0], [1_000, 1], [2_000, 2], [3_000, 3]);
    const { times, line } = courseOf(null, series, "Double", 2_500, 9_000, 9_000);
    expect([times, line]).toEqual([
      [2, 3, 9],
      [2, 3, 3],
    ]);
  });

  it("does not hold a value that is stale", () => {
    const { times, line } = courseOf(null, seen([0, 0], [1_000, 1]), "Double", 0, 5_000, null);
    expect([times, line]).toEqual([
      [0, 1],
      [0, 1],
    ]);
  });

  it("begins with what held before its time, at its begin", () => {
    const past = picture({ before: [1_000, 7, 192] });
    const { times, line } = courseOf(past, null, "Double", 60_000, 120_000, 120_000);
    expect([times, line]).toEqual([
      [60, 120],
      [7, 7],
    ]);
  });

  it("goes on with what the page has seen, where the history ends", () => {
    const past = picture({ rows: [[1_000, 1, 192], [2_000, 2, 192]] });
    const series = seen([1_500, 9], [2_000, 2], [3_000, 3]);
    const { times, line } = courseOf(past, series, "Double", 0, 3_000, 3_000);
    expect([times, line]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });

  it("is broken where the value is not good, and says why", () => {
    const rows = [[1_000, 1, 192], [2_000, 5, 0], [3_000, null, 0], [4_000, 4, 192]] as const;
    const course = courseOf(picture({ rows }), null, "Double", 0, 5_000, 5_000);
    expect(course.times).toEqual([1, 2, 4, 5]);
    expect(course.line).toEqual([1, null, 4, 4]);
    expect(course.gaps).toEqual([{ fromMs: 2_000, toMs: 4_000, reason: "Bad" }]);
    expect(gapAt(course, 3_999)?.reason).toBe("Bad");
    expect(gapAt(course, 4_000)).toBeNull();
  });

  it("is broken while the node was offline, and goes on as before when nothing has changed", () => {
    const past = picture({ rows: [[1_000, 1, 192]], outages: [[2_000, 4_000, "node_death"]] });
    const course = courseOf(past, null, "Double", 0, 6_000, 6_000);
    expect(course.times).toEqual([1, 2, 4, 6]);
    expect(course.line).toEqual([1, null, 1, 1]);
    expect(course.gaps).toEqual([{ fromMs: 2_000, toMs: 4_000, reason: "Node offline" }]);
  });

  it("knows what was sent of an outage afterwards", () => {
    const rows = [[1_000, 1, 192], [3_000, 3, 192]] as const;
    const past = picture({ rows, outages: [[2_000, 4_000, "device_death"]] });
    const course = courseOf(past, null, "Double", 0, 5_000, 5_000);
    expect(course.line).toEqual([1, null, 3, 3]);
    expect(course.gaps).toEqual([{ fromMs: 2_000, toMs: 3_000, reason: "Device offline" }]);
  });

  it("ends in a gap while the node is still away", () => {
    const past = picture({ rows: [[1_000, 1, 192]], outages: [[2_000, 9_000, "node_death"]] });
    const course = courseOf(past, null, "Double", 0, 9_000, null);
    expect(course.line.at(-1)).toBe(1);
    expect(course.gaps).toEqual([{ fromMs: 2_000, toMs: 9_000, reason: "Node offline" }]);
  });

  it("shows buckets with their least and greatest, and holds the last value where nothing came", () => {
    const rows = [
      [0, 1, 3, 2, 3, 9],
      [60_000, 2, 4, 3, 4, 9],
      [180_000, null, null, null, null, 5],
    ] as const;
    const course = courseOf(picture({ step_ms: 60_000, rows }), null, "Int32", 0, 240_000, 240_000);
    expect(course.times).toEqual([0, 60, 120, 180]);
    expect(course.line).toEqual([2, 3, 4, null]);
    expect(course.low).toEqual([1, 2, 4, null]);
    expect(course.high).toEqual([3, 4, 4, null]);
    expect(course.gaps).toEqual([{ fromMs: 180_000, toMs: 240_000, reason: "Not good" }]);
  });

  it("tells which point holds at a time", () => {
    const course = courseOf(null, seen([1_000, 1], [3_000, 3]), "Double", 0, 9_000, 9_000);
    expect([0.5, 1, 2.9, 3, 99].map((at) => heldIndex(course, at))).toEqual([null, 0, 0, 1, 2]);
  });

  it("takes booleans and whole numbers beyond 2^53 as numbers", () => {
    const past = picture({ rows: [[1_000, 1, 192]], before: [0, false, 192] });
    expect(courseOf(past, null, "Boolean", 0, 2_000, null).line).toEqual([0, 1]);
    const big = picture({ before: [0, "18446744073709551615", 192] });
    expect(courseOf(big, null, "UInt64", 0, 2_000, null).line).toEqual([2 ** 64]);
  });
});

describe("the marks of a time axis", () => {
  const at = (hour: number, minute = 0, second = 0): number =>
    new Date(2026, 10, 26, hour, minute, second).getTime() / 1_000;

  it("are as fine as their distance asks for, and name the day where it begins", () => {
    expect(formatTimeTicks([at(9, 0, 5), at(9, 0, 10)])).toEqual(["09:00:05", "09:00:10"]);
    expect(formatTimeTicks([at(9), at(9, 30)])).toEqual(["09:00", "09:30"]);
    expect(formatTimeTicks([at(0), at(12)])).toEqual(["26 Nov", "12:00"]);
    expect(formatTimeTicks([at(0), at(24)])).toEqual(["26 Nov", "27 Nov"]);
  });
});
