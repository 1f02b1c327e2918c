import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Metric } from "../src/plant/model";
import { Changes, Plant } from "../src/plant/plant";
import { Toasts } from "../src/session/toasts";
import { Writes } from "../src/session/writes";
import { device, metric, node, snapshot } from "./plants";

const requests: unknown[] = [];
let answer: () => Response | Promise<Response>;

beforeEach(() => {
  vi.useFakeTimers();
  requests.length = 0;
  answer = () => Response.json({ id: "w1" }, { status: 202 });
  vi.stubGlobal("fetch", (_address: string, init: { body: string }) => {
    requests.push(JSON.parse(init.body));
    return Promise.resolve(answer());
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function setup(): { writes: Writes; toasts: Toasts; speed: Metric } {
  const plant = new Plant();
  plant.snapshot(
    snapshot([node("g/e", [device("filler", [metric("Speed", { unit: "1/min", writable: true })])])]),
    new Changes(),
  );
  const speed = plant.nodes.get("g/e")?.devices.get("filler")?.metrics.get("Speed");
  if (speed === undefined) throw new Error("no such metric");
  const toasts = new Toasts();
  return { writes: new Writes(toasts), toasts, speed };
}

const said = (toasts: Toasts) => toasts.list.value.map((toast) => toast.text);

describe("a write", () => {
  it("names the metric and is pending until the host says that it came back", async () => {
    const { writes, toasts, speed } = setup();
    await writes.start(speed, 7);
    expect(requests).toEqual([{ group: "g", edge: "e", device: "filler", metric: "Speed", value: 7 }]);
    expect(writes.attempts.get(speed.key)?.state).toBe("waiting");
    writes.result({ type: "write_result", id: "w1", ok: true, reason: null });
    expect(writes.attempts.size).toBe(0);
    expect(said(toasts)).toEqual(["Speed is now 7.000\u00a01/min"]);
  });

  it("that failed keeps the reason until it is cleared", async () => {
    const { writes, speed } = setup();
    await writes.start(speed, 7);
    writes.result({ type: "write_result", id: "w1", ok: false, reason: "the device refused it" });
    expect(writes.attempts.get(speed.key)).toMatchObject({ state: "failed", reason: "the device refused it" });
    writes.clear(speed);
    expect(writes.attempts.size).toBe(0);
  });

  it("is settled by an outcome that overtook the answer to its request", async () => {
    const { writes, speed } = setup();
    answer = () => {
      writes.result({ type: "write_result", id: "w1", ok: true, reason: null });
      return Response.json({ id: "w1" }, { status: 202 });
    };
    await writes.start(speed, 7);
    expect(writes.attempts.size).toBe(0);
  });

  it("that the host refuses fails with what it said", async () => {
    const { writes, toasts, speed } = setup();
    answer = () => Response.json({ error: "Speed: 700 is above 600" }, { status: 400 });
    await writes.start(speed, 700);
    expect(writes.attempts.get(speed.key)?.reason).toBe("Speed: 700 is above 600");
    expect(said(toasts)[0]).toContain("was not set to 700");
  });

  it("fails when nothing is heard of it, or the connection is lost", async () => {
    const { writes, speed } = setup();
    await writes.start(speed, 7);
    vi.advanceTimersByTime(12_000);
    expect(writes.attempts.get(speed.key)?.state).toBe("failed");
    answer = () => Response.json({ id: "w2" }, { status: 202 });
    await writes.start(speed, 8);
    writes.lostConnection();
    expect(writes.attempts.get(speed.key)).toMatchObject({ value: 8, state: "failed" });
  });

  it("is not sent twice while the first is under way", async () => {
    const { writes, speed } = setup();
    await Promise.all([writes.start(speed, 7), writes.start(speed, 8)]);
    expect(requests).toHaveLength(1);
  });

  it("says nothing in a toast while its editor is open to say it", async () => {
    const { writes, toasts, speed } = setup();
    writes.open = speed;
    await writes.start(speed, 7);
    writes.result({ type: "write_result", id: "w1", ok: false, reason: "no" });
    expect(said(toasts)).toEqual([]);
  });
});
