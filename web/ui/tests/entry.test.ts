import { describe, expect, it } from "vitest";

import { choices, entryKind, parseEntry, rangeHint } from "../src/plant/entry";

const any = { low: null, high: null };

describe("an entry for a number", () => {
  it.each([
    ["7.5", 7.5],
    ["7,5", 7.5],
    [" 1 284 ", 1284],
    ["\u22123e2", -300],
    [".5", 0.5],
  ])("reads %j as people write it", (typed, value) => {
    expect(parseEntry(typed, { datatype: "Double", ...any })).toEqual({ ok: true, value });
  });

  it.each(["", "seven", "1.2.3", "0x10", "1e999"])("refuses %j with a reason", (typed) => {
    expect(parseEntry(typed, { datatype: "Float", ...any })).toMatchObject({ ok: false });
  });

  it("is held to the engineering range, ends included", () => {
    const target = { datatype: "Float", low: 2, high: 15 };
    expect(parseEntry("2", target)).toEqual({ ok: true, value: 2 });
    expect(parseEntry("15.5", target)).toEqual({
      ok: false,
      problem: "15.5 is above the highest allowed, 15.",
    });
    expect(parseEntry("1", target)).toMatchObject({ problem: "1 is below the lowest allowed, 2." });
  });
});

describe("an entry of an enumeration", () => {
  const enumeration = { "0": "stopped", "7": "fault" };

  it("is one of the numbers, shown by name", () => {
    const target = { datatype: "UInt16", enumeration, ...any };
    expect(choices(target)).toEqual([
      { typed: "0", label: "stopped (0)" },
      { typed: "7", label: "fault (7)" },
    ]);
    expect(parseEntry("7", target)).toEqual({ ok: true, value: 7 });
    expect(parseEntry("3", target)).toEqual({ ok: false, problem: "Choose one of the values." });
  });

  it("is a name where names are published", () => {
    const target = { datatype: "String", enumeration, ...any };
    expect(choices(target)[1]).toEqual({ typed: "fault", label: "fault" });
    expect(parseEntry("fault", target)).toEqual({ ok: true, value: "fault" });
    expect(parseEntry("7", target)).toMatchObject({ ok: false });
  });

  it("is a flag where the numbers are 0 and 1", () => {
    const target = { datatype: "Boolean", enumeration: { "0": "closed", "1": "open" }, ...any };
    expect(parseEntry("true", target)).toEqual({ ok: true, value: true });
    expect(choices(target).map((choice) => choice.typed)).toEqual(["false", "true"]);
  });
});

describe("an entry for an integer", () => {
  it("must be whole and fit the type", () => {
    expect(parseEntry("1.5", { datatype: "Int16", ...any })).toMatchObject({ ok: false });
    expect(parseEntry("255", { datatype: "UInt8", ...any })).toEqual({ ok: true, value: 255 });
    expect(parseEntry("256", { datatype: "UInt8", ...any })).toEqual({
      ok: false,
      problem: "256 does not fit UInt8: 0 to 255.",
    });
    expect(parseEntry("-1", { datatype: "UInt8", ...any })).toMatchObject({ ok: false });
  });

  it("stays exact beyond 2^53", () => {
    expect(parseEntry("18446744073709551615", { datatype: "UInt64", ...any })).toEqual({
      ok: true,
      value: "18446744073709551615",
    });
    expect(parseEntry("9007199254740991", { datatype: "Int64", ...any })).toEqual({
      ok: true,
      value: 9007199254740991,
    });
  });
});

describe("other entries", () => {
  it("flags and text are taken as they are, structures refused", () => {
    expect(parseEntry("true", { datatype: "Boolean", ...any })).toEqual({ ok: true, value: true });
    expect(parseEntry("", { datatype: "String", ...any })).toEqual({ ok: true, value: "" });
    expect(parseEntry("x", { datatype: "DataSet", ...any })).toMatchObject({ ok: false });
    expect(entryKind("DateTime")).toBe("none");
  });
});

describe("the hint of the range", () => {
  it("names what is limited", () => {
    expect(rangeHint({ datatype: "Float", low: 2, high: 15 }, "°C")).toBe("2 to 15\u00a0°C");
    expect(rangeHint({ datatype: "Float", low: 2, high: null }, "")).toBe("from 2");
    expect(rangeHint({ datatype: "Float", low: null, high: 15 }, "")).toBe("up to 15");
    expect(rangeHint({ datatype: "Float", low: null, high: null }, "°C")).toBe("");
  });
});
