import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { LiveLink, liveUrl, type HostAnswer, type LinkState } from "../src/wire/live";
import type { ServerMessage } from "../src/wire/messages";

class FakeSocket {
  static all: FakeSocket[] = [];
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  closed = false;

  constructor() {
    FakeSocket.all.push(this);
  }

  close(): void {
    this.closed = true;
  }

  say(message: unknown): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

const NOTICE = { type: "notice", level: "info", text: "hello", at_ms: 0 };

let answer: HostAnswer;
let states: LinkState["kind"][];
let messages: ServerMessage[];

function link(): LiveLink {
  return new LiveLink("ws://host/api/v1/live", {
    message: (message) => messages.push(message),
    state: (state) => states.push(state.kind),
    ask: () => Promise.resolve(answer),
  });
}

function newest(): FakeSocket {
  const socket = FakeSocket.all.at(-1);
  if (socket === undefined) throw new Error("no socket was opened");
  return socket;
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", FakeSocket);
  FakeSocket.all = [];
  answer = "well";
  states = [];
  messages = [];
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("the live link", () => {
  it("is open with the first message, and hands messages on", () => {
    link().open();
    expect(states).toEqual(["connecting"]);
    newest().say(NOTICE);
    newest().say({ type: "from_the_future" });
    expect(states).toEqual(["connecting", "open"]);
    expect(messages).toEqual([NOTICE]);
  });

  it("connects again after a pause when the socket closes", async () => {
    link().open();
    newest().say(NOTICE);
    newest().onclose?.();
    expect(states.at(-1)).toBe("waiting");
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeSocket.all).toHaveLength(2);
    expect(states.at(-1)).toBe("connecting");
  });

  it("gives up a socket that opens and says nothing", async () => {
    link().open();
    await vi.advanceTimersByTimeAsync(15_000);
    expect(FakeSocket.all[0]?.closed).toBe(true);
    expect(states).toContain("waiting");
  });

  it("asks the host after a silence, and stays while the host is well", async () => {
    link().open();
    newest().say(NOTICE);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(states).toEqual(["connecting", "open"]);
  });

  it("drops a silent socket when the host is away", async () => {
    link().open();
    newest().say(NOTICE);
    answer = "away";
    await vi.advanceTimersByTimeAsync(10_000);
    expect(FakeSocket.all[0]?.closed).toBe(true);
    expect(states.at(-1)).toBe("waiting");
  });

  it("stops trying when nobody is signed in any more", async () => {
    link().open();
    answer = "signed-out";
    newest().onclose?.();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(states.at(-1)).toBe("closed");
    expect(FakeSocket.all).toHaveLength(1);
  });

  it("tries at once when asked to", async () => {
    const live = link();
    live.open();
    newest().onclose?.();
    live.retryNow();
    live.retryNow();
    expect(FakeSocket.all).toHaveLength(2);
    newest().say(NOTICE);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(FakeSocket.all).toHaveLength(2);
  });

  it("is beside the page, under whatever path a proxy gives it", () => {
    const page = new URL("https://plant.example/nexus/?x=1#/g/e") as unknown as Location;
    expect(liveUrl(page)).toBe("wss://plant.example/nexus/api/v1/live");
  });
});
