import { describe, expect, it } from "vitest";

import { RateMeter } from "../src/plant/rate";
import { noticeTone } from "../src/session/notices";
import { formatHash, parseHash, parseKey, selectionKey } from "../src/session/selection";
import { Backoff } from "../src/wire/backoff";
import { parseMessage } from "../src/wire/messages";

describe("a frame of the live socket", () => {
  it("is read when its type is known, passed over when it is not", () => {
    expect(parseMessage('{"type":"write_result","id":"1","ok":true,"reason":null}')).toMatchObject({ ok: true });
    expect(parseMessage('{"type":"from_the_future"}')).toBeNull();
    expect(parseMessage("[1]")).toBeNull();
    expect(parseMessage("null")).toBeNull();
  });

  it("that is not JSON is an error", () => {
    expect(() => parseMessage("<html>")).toThrow(SyntaxError);
  });
});

describe("the pause before reconnecting", () => {
  it("doubles to its limit, jittered downwards by at most half", () => {
    const most = new Backoff({ firstMs: 500, limitMs: 15_000, random: () => 1 });
    expect(Array.from({ length: 7 }, () => most.next())).toEqual([500, 1000, 2000, 4000, 8000, 15000, 15000]);
    const least = new Backoff({ firstMs: 500, limitMs: 15_000, random: () => 0 });
    expect(least.next()).toBe(250);
  });

  it("starts small again after a connection held", () => {
    const backoff = new Backoff({ firstMs: 500, limitMs: 15_000, random: () => 1 });
    backoff.next();
    backoff.next();
    backoff.reset();
    expect(backoff.next()).toBe(500);
  });
});

describe("points per second", () => {
  it("is the mean over the window and falls to zero when nothing comes", () => {
    const rate = new RateMeter(5_000);
    rate.add(100, 0);
    rate.add(150, 1_000);
    expect(rate.perSecond(1_000)).toBe(50);
    expect(rate.perSecond(5_500)).toBe(30);
    expect(rate.perSecond(60_000)).toBe(0);
  });
});

describe("a notice", () => {
  it("of an unknown level is calm", () => {
    expect(["info", "warning", "error", "new"].map(noticeTone)).toEqual(["calm", "warning", "alarm", "calm"]);
  });
});

describe("the address of a selection", () => {
  it.each([
    ["#/", { group: null, edge: null, device: null }],
    ["#/bottling", { group: "bottling", edge: null, device: null }],
    ["#/boiler%20house/line%231/%C3%A9", { group: "boiler house", edge: "line#1", device: "é" }],
  ])("%s is read and written alike", (hash, selection) => {
    expect(parseHash(hash)).toEqual(selection);
    expect(formatHash(selection)).toBe(hash);
  });

  it("survives a stray percent sign", () => {
    expect(parseHash("#/100%")).toMatchObject({ group: "100%" });
  });

  it("and the key of its row in the tree are the same thing", () => {
    for (const key of ["g/", "g/e", "g/e/d"]) expect(selectionKey(parseKey(key))).toBe(key);
    expect(selectionKey({ group: null, edge: null, device: null })).toBeNull();
  });
});
