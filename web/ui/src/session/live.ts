/**
 * The live picture: the socket's messages applied to the plant once per frame, and the few reactive
 * numbers that tell the page to look again.
 */

import { onScopeDispose, shallowRef, type ShallowRef } from "vue";

import type { Metric } from "../plant/model";
import { Changes, Plant } from "../plant/plant";
import { RateMeter } from "../plant/rate";
import { FrameQueue } from "../wire/frames";
import { LiveLink, liveUrl, type HostAnswer, type LinkState } from "../wire/live";
import type { HostJson, NoticeMessage, ServerMessage } from "../wire/messages";
import { currentUser, isStandby } from "../wire/rest";
import type { Writes } from "./writes";

export interface Notice extends NoticeMessage {
  readonly id: number;
}

const NOTICES_KEPT = 200;

export class Live {
  readonly plant = new Plant();
  readonly link: ShallowRef<LinkState> = shallowRef({ kind: "connecting" });
  /** Whether the host that was asked leaves the plant to another one. */
  readonly standby = shallowRef(false);
  /** False until the first snapshot. */
  readonly loaded = shallowRef(false);
  readonly host: ShallowRef<HostJson | null> = shallowRef(null);
  readonly notices: ShallowRef<readonly Notice[]> = shallowRef([]);
  /** Grows when nodes, devices, metrics or their health change. */
  readonly structure = shallowRef(0);
  /** Grows with every frame that brought values. */
  readonly values = shallowRef(0);
  /** The host's clock in ms, ticking each second. */
  readonly nowMs = shallowRef(Date.now());
  readonly pointsPerSecond = shallowRef(0);

  private readonly writes: Writes;
  private readonly rate = new RateMeter();
  private readonly queue = new FrameQueue<ServerMessage>((batch) => {
    this.apply(batch);
  });
  private readonly socket: LiveLink;
  private skewMs = 0;
  private heardMs = 0;
  private noticeId = 0;

  constructor(writes: Writes, signedOut: () => void) {
    this.writes = writes;
    this.socket = new LiveLink(liveUrl(location), {
      message: (message) => {
        this.queue.push(message);
      },
      state: (state) => {
        if (this.link.value.kind === "open" && state.kind !== "open") writes.lostConnection();
        this.link.value = state;
      },
      ask: async () => {
        const answer = await askHost();
        this.standby.value = answer === "standby";
        if (answer === "signed-out") signedOut();
        return answer;
      },
    });
    const timer = window.setInterval(() => {
      this.tick();
    }, 1_000);
    onScopeDispose(() => {
      window.clearInterval(timer);
      this.socket.close();
    });
    this.socket.open();
  }

  get connected(): boolean {
    return this.link.value.kind === "open" && this.loaded.value;
  }

  retryNow(): void {
    this.socket.retryNow();
  }

  /** The host's time now, finer than the ticking `nowMs`. */
  hostTimeMs(): number {
    return Date.now() + this.skewMs;
  }

  /** Until when, by the host's clock, a value is known to hold: now, or when the host was last heard. */
  knownUntilMs(metric: Metric): number | null {
    if (metric.stale) return null;
    return this.connected ? this.hostTimeMs() : this.heardMs;
  }

  private tick(): void {
    this.nowMs.value = this.hostTimeMs();
    this.pointsPerSecond.value = this.rate.perSecond(Date.now());
    if (!this.connected) return;
    const changes = new Changes();
    this.plant.forget(this.nowMs.value, changes);
    if (changes.structure) this.structure.value += 1;
  }

  private apply(batch: readonly ServerMessage[]): void {
    const changes = new Changes();
    const notices: NoticeMessage[] = [];
    for (const message of batch) {
      if (message.type !== "snapshot" && message.type !== "node") {
        this.plant.settle(this.hostTimeMs(), changes);
      }
      switch (message.type) {
        case "snapshot":
          this.host.value = message.host;
          this.setClock(message.server_time_ms);
          this.plant.snapshot(message, changes);
          this.loaded.value = true;
          break;
        case "node":
          this.plant.node(message.node, changes);
          break;
        case "values":
          this.setClock(message.server_time_ms);
          this.plant.values(message.values, changes);
          break;
        case "host":
          this.host.value = message.host;
          break;
        case "write_result":
          this.writes.result(message);
          break;
        case "notice":
          notices.push(message);
          break;
      }
    }
    this.rate.add(changes.points, Date.now());
    if (changes.structure) this.structure.value += 1;
    if (changes.owners.size > 0) this.values.value += 1;
    for (const { level, text, atMs } of changes.happenings) {
      notices.push({ type: "notice", level, text, at_ms: atMs ?? this.hostTimeMs() });
    }
    this.tell(notices);
  }

  private tell(notices: readonly NoticeMessage[]): void {
    if (notices.length === 0) return;
    const numbered = notices.map((notice) => ({ ...notice, id: (this.noticeId += 1) }));
    this.notices.value = [...numbered.reverse(), ...this.notices.value].slice(0, NOTICES_KEPT);
  }

  /** Ages are told by the host's clock, whatever this computer thinks the time is. */
  private setClock(serverTimeMs: number): void {
    this.heardMs = serverTimeMs;
    this.skewMs = serverTimeMs - Date.now();
  }
}

/** Asks who is signed in, which tells whether the host is there and the session holds. */
async function askHost(): Promise<HostAnswer> {
  try {
    if ((await currentUser()) === null) return "signed-out";
    return (await isStandby()) ? "standby" : "well";
  } catch {
    return "away"; // the banner says so
  }
}
