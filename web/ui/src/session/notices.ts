/** What the page makes of the host's notices. */

export type NoticeTone = "calm" | "warning" | "alarm";

/** How loud a notice is; a level this console does not know is not shouted. */
export function noticeTone(level: string): NoticeTone {
  if (level === "error") return "alarm";
  return level === "warning" ? "warning" : "calm";
}
