/** What the page makes of the host's notices. */

export type NoticeTone = "calm" | "warning" | "alarm";

/** How loud a notice is; a level this console does not know is not shouted. */
export function noticeTone(level: string): NoticeTone {
  if (level === "error") return "alarm";
  return level === "warning" ? "warning" : "calm";
}

/** Whether a notice is about a node or a device of it: its text begins with the node's name. */
export function isAbout(text: string, nodeId: string): boolean {
  return text.startsWith(nodeId) && /^[:/ ]/.test(text.slice(nodeId.length));
}
