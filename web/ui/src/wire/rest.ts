/**
 * The REST calls of the console. Knows the wire, not the page.
 *
 * The session is a cookie that scripts cannot read; every call is same-origin JSON.
 */

import type { DiagnosticsJson } from "./diagnostics";
import type { PictureJson } from "./history";
import type { Value } from "./messages";

/** The host answered, and refused. `message` is what it said. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = "Refused";
    this.status = status;
  }
}

/** The host did not answer at all. */
export class Unreachable extends Error {
  constructor(cause: unknown) {
    super("The host cannot be reached.", { cause });
    this.name = "Unreachable";
  }
}

const BASE = "api/v1";
const ANSWER_MS = 8_000;

async function call(method: string, path: string, body?: unknown): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(`${BASE}/${path}`, {
      method,
      credentials: "same-origin",
      signal: AbortSignal.timeout(ANSWER_MS),
      headers: { accept: "application/json", "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (error) {
    throw new Unreachable(error);
  }
  const text = await response.text();
  const answer = readJson(text);
  if (!response.ok) throw new Refused(response.status, reasonOf(answer, response));
  return answer;
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // A proxy's error page, or an empty body: the status line says what there is to say.
    return null;
  }
}

function reasonOf(answer: unknown, response: Response): string {
  const given = field(answer, "error");
  if (given !== null && given !== "") return given;
  if (response.status === 429) return "Too many attempts. Wait a minute and try again.";
  return `The host answered ${response.status} ${response.statusText}`.trimEnd();
}

function field(answer: unknown, name: string): string | null {
  if (typeof answer !== "object" || answer === null) return null;
  const value = (answer as Record<string, unknown>)[name];
  return typeof value === "string" || typeof value === "number" ? String(value) : null;
}

export interface MetricAddress {
  readonly group: string;
  readonly edge: string;
  readonly device: string | null;
  readonly metric: string;
}

/** Somebody who is signed in. */
export interface User {
  readonly name: string;
  /** What the host lets them do: a viewer may not write. */
  readonly role: string;
}

function userOf(answer: unknown): User {
  return { name: field(answer, "username") ?? "", role: field(answer, "role") ?? "" };
}

/** The signed-in user, or null when nobody is signed in. */
export async function currentUser(): Promise<User | null> {
  try {
    return userOf(await call("GET", "session"));
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return null;
    throw error;
  }
}

/** Whether this host leaves the plant to another one. */
export async function isStandby(): Promise<boolean> {
  const response = await fetch("readyz", { signal: AbortSignal.timeout(ANSWER_MS) });
  return field(readJson(await response.text()), "status") === "standby";
}

export async function signIn(username: string, password: string): Promise<User> {
  return userOf(await call("POST", "session", { username, password }));
}

export async function signOut(): Promise<void> {
  await call("DELETE", "session");
}

/** Asks for a write; the outcome comes on the live socket under the id returned here. */
export async function requestWrite(address: MetricAddress, value: Value): Promise<string> {
  const id = field(await call("POST", "write", { ...address, value }), "id");
  if (id === null) throw new Refused(202, "The host accepted the write without naming it.");
  return id;
}

export async function nodeDiagnostics(group: string, edge: string): Promise<DiagnosticsJson> {
  const path = `nodes/${encodeURIComponent(group)}/${encodeURIComponent(edge)}/diagnostics`;
  return (await call("GET", path)) as DiagnosticsJson;
}

/** What draws a metric's past, in about so many points; null when the history does not know the metric. */
export async function picture(
  { group, edge, device, metric }: MetricAddress,
  fromMs: number,
  toMs: number,
  points: number,
): Promise<PictureJson | null> {
  const query = new URLSearchParams({
    group,
    edge,
    device: device ?? "",
    name: metric,
    start: new Date(fromMs).toISOString(),
    end: new Date(toMs).toISOString(),
    points: String(points),
  });
  try {
    const answer = (await call("GET", `history/plot?${query.toString()}`)) as { series: PictureJson[] };
    return answer.series[0] ?? null;
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return null;
    throw error;
  }
}

/** Something that somebody did, as the audit log has it. */
export interface AuditEntry {
  readonly at_ms: number;
  readonly actor: string;
  readonly remote: string | null;
  readonly action: string;
  readonly target: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** The newest entries first; for admins alone. */
export async function auditLog(limit: number): Promise<readonly AuditEntry[]> {
  return ((await call("GET", `audit?limit=${limit}`)) as { entries: AuditEntry[] }).entries;
}

export async function requestRebirth(group: string, edge: string): Promise<void> {
  await call("POST", "rebirth", { group, edge });
}
