import { describe, expect, it } from "vitest";

import { formatAction, formatDetail } from "../src/plant/audit";
import { formatAge, formatBytes, formatDateTime, formatRate, formatSentence, formatSpan, formatUnit, formatValue, plainValue, type ValueContext } from "../src/plant/format";
import { formatQuality, qualityKind } from "../src/plant/quality";

function context(datatype: string, changes: Partial<ValueContext> = {}): ValueContext {
  return { datatype, low: null, high: null, ...changes };
}

describe("a number", () => {
  it("is split at the decimal point", () => {
    expect(formatValue(71.3, context("Float", { low: 0, high: 100 }))).toEqual({
      kind: "number",
      whole: "71",
      fraction: ".30",
    });
  });

  it.each([
    [71.30000305175781, 0, 100, "71.30"],
    [3.42, 0, 6, "3.420"],
    [1841.2, 0, 4000, "1841"],
    [7.31, 0, 40, "7.31"],
  ])("%f in a range of %i to %i is %s", (value, low, high, shown) => {
    expect(plainValue(value, context("Float", { low, high }))).toBe(shown);
  });

  it.each([
    [0, "0.0"],
    [12.41, "12.41"],
    [0.00231, "0.00231"],
    [-42.5, "\u221242.50"],
    [-0.000001, "\u22121.0000e\u22126"],
    [1e15, "1.0000e15"],
    [123456.78, "123\u202f456.8"],
    [1234567.8, "1\u202f234\u202f568"],
  ])("%f without a range is %s", (value, shown) => {
    expect(plainValue(value, context("Double"))).toBe(shown);
  });

  it("that rounds to zero has no sign", () => {
    expect(plainValue(-0.001, context("Float", { low: -100, high: 100 }))).toBe("0.0");
  });

  it("of a set-point keeps the digits it was given", () => {
    expect(plainValue(82.125, context("Double", { low: 0, high: 1000, writable: true }))).toBe("82.125");
    expect(plainValue(82.0999984741211, context("Float", { low: 0, high: 1000, writable: true }))).toBe("82.1");
  });

  it("of an integer type has no decimals and is exact beyond 2^53", () => {
    expect(plainValue(1284456, context("UInt32"))).toBe("1\u202f284\u202f456");
    expect(plainValue("18446744073709551615", context("UInt64"))).toBe("18\u202f446\u202f744\u202f073\u202f709\u202f551\u202f615");
  });

  it("that is none says so", () => {
    expect(plainValue("NaN", context("Float"))).toBe("NaN");
    expect(plainValue("-Infinity", context("Double"))).toBe("\u2212\u221e");
  });
});

describe("other values", () => {
  it("null is a dash, a boolean a word, text itself", () => {
    expect(formatValue(null, context("Float")).kind).toBe("none");
    expect(plainValue(true, context("Boolean"))).toBe("True");
    expect(plainValue("42", context("String"))).toBe("42");
  });

  it("bytes are counted, arrays and structures written out", () => {
    expect(plainValue("AAECAw==", context("Bytes"))).toBe("4 bytes");
    expect(plainValue([1, 2.5], context("FloatArray"))).toBe("[1, 2.5]");
    expect(plainValue({ a: 1 }, context("Template"))).toBe('{"a":1}');
  });

  it("a date is local and in ISO order", () => {
    const time = new Date(2026, 1, 3, 4, 5, 6).getTime();
    expect(plainValue(time, context("DateTime"))).toBe("2026-02-03 04:05:06");
    expect(formatDateTime(Number.NaN)).toBe("NaN");
  });
});

describe("a unit", () => {
  it.each([
    ["degC", "°C"],
    ["N.m", "N·m"],
    ["m3/h", "m³/h"],
    ["kg/m^3", "kg/m³"],
    ["uS/cm", "µS/cm"],
    ["1/min", "1/min"],
    ["bar", "bar"],
    ["units", "units"],
    [null, ""],
  ])("%s is printed %s", (unit, shown) => {
    expect(formatUnit(unit)).toBe(shown);
  });
});

it.each([
  ["user name or password is wrong", "User name or password is wrong."],
  ["Wait a minute.", "Wait a minute."],
  ["", ""],
])("the message %j is shown as %j", (text, shown) => {
  expect(formatSentence(text)).toBe(shown);
});

describe("amounts", () => {
  it.each([
    [512, "512\u00a0B"],
    [1_500, "1.5\u00a0kB"],
    [2_345_678, "2.3\u00a0MB"],
  ])("%i bytes are %s", (bytes, shown) => {
    expect(formatBytes(bytes)).toBe(shown);
  });

  it.each([
    [3.4, "3\u00a0ms"],
    [-250, "\u2212250\u00a0ms"],
    [61_500, "61.5\u00a0s"],
  ])("%f ms are %s", (ms, shown) => {
    expect(formatSpan(ms)).toBe(shown);
  });

  it.each([
    [0, "0"],
    [3.14159, "3.1"],
    [12_345.6, "12\u202f346"],
  ])("%f a second is %s", (rate, shown) => {
    expect(formatRate(rate)).toBe(shown);
  });
});

describe("an age", () => {
  it.each([
    [-500, "0", "s"],
    [999, "0", "s"],
    [99_999, "99", "s"],
    [100_000, "1", "min"],
    [99 * 60_000, "99", "min"],
    [100 * 60_000, "1", "h"],
    [48 * 3_600_000, "2", "d"],
  ])("of %i ms is %s %s", (ms, amount, unit) => {
    expect(formatAge(ms)).toEqual({ amount, unit });
  });
});

describe("a quality code", () => {
  it.each([
    [192, "good", "Good"],
    [216, "good", "Good 216"],
    [64, "uncertain", "Uncertain 64"],
    [0, "bad", "Bad"],
    [24, "bad", "Bad 24"],
    [500, "stale", "Stale"],
  ])("%i is %s: %s", (code, kind, words) => {
    expect(qualityKind(code)).toBe(kind);
    expect(formatQuality(code)).toBe(words);
  });
});

describe("an entry of the audit log", () => {
  it("of a write tells what it was and became", () => {
    expect(formatDetail("write", { id: "1", before: 320, value: 300 })).toBe("320 → 300");
    expect(formatDetail("write", { id: "1", before: null, value: "COLA" })).toBe("null → COLA");
  });

  it("of an outcome tells whether, and why not", () => {
    expect(formatDetail("write_result", { id: "1", ok: true, reason: null })).toBe("Written");
    expect(formatDetail("write_result", { ok: false, reason: "no answer" })).toBe("Not written: no answer");
  });

  it("of another kind is named as the host names it", () => {
    expect(formatAction("user_added")).toBe("user added");
    expect(formatDetail("user_added", { role: "viewer" })).toBe("role viewer");
  });
});
