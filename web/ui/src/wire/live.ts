/**
 * The live socket: connects, hands on parsed messages, reconnects with back-off.
 *
 * Knows nothing of what the messages mean. `ask` is called when the socket does not tell enough: a
 * browser does not say why an upgrade was refused, so an expired session looks like a dead host; and a
 * connection whose other end vanished looks like a plant in which nothing happens.
 */

import { Backoff } from "./backoff";
import { parseMessage, type ServerMessage } from "./messages";

export type LinkState =
  | { readonly kind: "connecting" }
  | { readonly kind: "open" }
  | { readonly kind: "waiting"; readonly retryAtMs: number }
  | { readonly kind: "closed" };

/** What the host says when asked outside of the socket: all is well, not I, nothing, who are you? */
export type HostAnswer = "well" | "standby" | "away" | "signed-out";

export interface LiveHandlers {
  message(message: ServerMessage): void;
  state(state: LinkState): void;
  ask(): Promise<HostAnswer>;
}

/** An open socket that never delivers its first message is given up after this time. */
const FIRST_MESSAGE_MS = 15_000;
/** After so long without a message the host is asked whether it is still there. */
const SILENCE_MS = 10_000;

export class LiveLink {
  private readonly url: string;
  private readonly handlers: LiveHandlers;
  private readonly backoff = new Backoff({ firstMs: 500, limitMs: 5_000, random: Math.random });
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(url: string, handlers: LiveHandlers) {
    this.url = url;
    this.handlers = handlers;
  }

  open(): void {
    this.closed = false;
    this.connect();
  }

  /** Tries now instead of waiting out the pause. */
  retryNow(): void {
    if (this.socket === null && !this.closed) this.connect();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.drop();
    this.handlers.state({ kind: "closed" });
  }

  private after(ms: number, act: () => void): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(act, ms);
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    if (socket === null) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private connect(): void {
    this.handlers.state({ kind: "connecting" });
    const socket = new WebSocket(this.url);
    this.socket = socket;
    let heard = false;
    this.after(FIRST_MESSAGE_MS, () => {
      this.lost();
    });
    socket.onmessage = (event: MessageEvent<unknown>) => {
      this.listen();
      if (!heard) {
        heard = true;
        this.backoff.reset();
        this.handlers.state({ kind: "open" });
      }
      if (typeof event.data !== "string") return;
      const message = parseMessage(event.data);
      if (message !== null) this.handlers.message(message);
    };
    socket.onclose = () => {
      this.lost();
    };
  }

  /** Waits for the next message, but not for ever. */
  private listen(): void {
    this.after(SILENCE_MS, () => {
      const { socket } = this;
      void this.handlers.ask().then((answer) => {
        if (this.socket !== socket || socket === null) return;
        if (answer === "well") this.listen();
        else if (answer === "signed-out") this.close();
        else this.lost();
      });
    });
  }

  private lost(): void {
    this.drop();
    if (this.closed) return;
    const pause = this.backoff.next();
    this.handlers.state({ kind: "waiting", retryAtMs: Date.now() + pause });
    this.after(pause, () => {
      this.connect();
    });
    void this.handlers.ask().then((answer) => {
      if (answer === "signed-out" && !this.closed) this.close();
    });
  }
}

/** The socket's address beside the page's own. */
export function liveUrl(page: Location): string {
  const url = new URL("api/v1/live", page.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  url.search = "";
  return url.href;
}
