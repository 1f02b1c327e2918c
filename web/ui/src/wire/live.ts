/**
 * The live socket: connects, hands on parsed messages, reconnects with back-off.
 *
 * Knows nothing of what the messages mean. `refused` is asked after every failure, because a browser
 * does not tell a page why an upgrade was refused: an expired session looks like a dead host.
 */

import { Backoff } from "./backoff";
import { parseMessage, type ServerMessage } from "./messages";

export type LinkState =
  | { readonly kind: "connecting" }
  | { readonly kind: "open" }
  | { readonly kind: "waiting"; readonly retryAtMs: number }
  | { readonly kind: "closed" };

export interface LiveHandlers {
  message(message: ServerMessage): void;
  state(state: LinkState): void;
  /** Resolves to true when connecting again is pointless (nobody is signed in any more). */
  refused(): Promise<boolean>;
}

/** An open socket that never delivers its first message is given up after this time. */
const FIRST_MESSAGE_MS = 15_000;

export class LiveLink {
  private readonly url: string;
  private readonly handlers: LiveHandlers;
  private readonly backoff = new Backoff({ firstMs: 500, limitMs: 15_000, random: Math.random });
  private socket: WebSocket | null = null;
  private timer: number | undefined;
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
    window.clearTimeout(this.timer);
    this.drop();
    this.handlers.state({ kind: "closed" });
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private connect(): void {
    window.clearTimeout(this.timer);
    this.handlers.state({ kind: "connecting" });
    const socket = new WebSocket(this.url);
    this.socket = socket;
    let heard = false;
    this.timer = window.setTimeout(() => {
      this.lost();
    }, FIRST_MESSAGE_MS);
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (!heard) {
        heard = true;
        window.clearTimeout(this.timer);
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

  private lost(): void {
    window.clearTimeout(this.timer);
    this.drop();
    if (this.closed) return;
    const pause = this.backoff.next();
    this.handlers.state({ kind: "waiting", retryAtMs: Date.now() + pause });
    this.timer = window.setTimeout(() => {
      this.connect();
    }, pause);
    void this.handlers.refused().then((pointless) => {
      if (pointless) this.close();
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
