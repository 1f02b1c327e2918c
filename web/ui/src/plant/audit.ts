/** Entries of the audit log in words. */

const ACTIONS: Readonly<Record<string, string>> = {
  write: "Write",
  write_result: "Outcome",
  rebirth: "Rebirth",
  sign_in: "Sign in",
  sign_in_failed: "Sign in refused",
  sign_out: "Sign out",
};

/** What was done; an action this console does not know by its own name. */
export function formatAction(action: string): string {
  return ACTIONS[action] ?? action.replaceAll("_", " ");
}

/** What there is to say beyond who, what and where: the values of a write, the reason of a failure. */
export function formatDetail(action: string, detail: Readonly<Record<string, unknown>>): string {
  if (action === "write") return `${plain(detail["before"])} → ${plain(detail["value"])}`;
  if (action === "write_result") {
    const reason = detail["reason"];
    const outcome = detail["ok"] === true ? "Written" : "Not written";
    return typeof reason === "string" ? `${outcome}: ${reason}` : outcome;
  }
  return Object.entries(detail)
    .map(([name, value]) => `${name} ${plain(value)}`)
    .join(", ");
}

function plain(value: unknown): string {
  if (value === undefined) return "—";
  return typeof value === "string" ? value : JSON.stringify(value);
}
