/**
 * Values, ages and times as text.
 *
 * Numbers are split at the decimal point so that a column of them lines up there.
 */

import type { Value } from "../wire/messages";
import { isFloat, isInteger } from "./numbers";

export interface FormattedValue {
  readonly kind: "number" | "flag" | "text" | "none";
  /** Everything left of the decimal point; all of it for what is not a number. */
  readonly whole: string;
  /** The decimal point and what follows, or nothing. */
  readonly fraction: string;
}

export interface ValueContext {
  readonly datatype: string;
  readonly low: number | null;
  readonly high: number | null;
  /** A set-point is shown as exactly as it was written. */
  readonly writable?: boolean;
}

const MINUS = "\u2212";
const GROUP = "\u202f"; // narrow no-break space
const NONE: FormattedValue = { kind: "none", whole: "\u2014", fraction: "" };

export function formatValue(value: Value, context: ValueContext): FormattedValue {
  if (value === null) return NONE;
  if (typeof value === "boolean") return { kind: "flag", whole: value ? "True" : "False", fraction: "" };
  if (typeof value === "number") return formatNumber(value, context);
  if (typeof value === "string") return formatString(value, context);
  if (Array.isArray(value)) return text(`[${value.map((item) => compact(item)).join(", ")}]`);
  return text(compact(value));
}

/** One string, for a title, a toast or a screen reader. */
export function plainValue(value: Value, context: ValueContext): string {
  const { whole, fraction } = formatValue(value, context);
  return whole + fraction;
}

function text(whole: string): FormattedValue {
  return { kind: "text", whole, fraction: "" };
}

function formatString(value: string, { datatype }: ValueContext): FormattedValue {
  if (isInteger(datatype) && /^-?\d+$/.test(value)) return integer(value);
  if (isFloat(datatype)) {
    if (value === "Infinity") return text("\u221e");
    if (value === "-Infinity") return text(`${MINUS}\u221e`);
    return text(value);
  }
  if (datatype === "Bytes" || datatype === "File") return text(`${base64Length(value)} bytes`);
  return text(value);
}

function formatNumber(value: number, context: ValueContext): FormattedValue {
  if (!Number.isFinite(value)) return text(String(value));
  if (context.datatype === "DateTime") return text(formatDateTime(value));
  if (Number.isInteger(value) && !isFloat(context.datatype)) return integer(String(value));
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude >= 1e12 || magnitude < 1e-5)) {
    return text(value.toExponential(4).replaceAll("-", MINUS).replace("+", ""));
  }
  const [whole = "0", fraction = ""] = magnitude.toFixed(decimals(value, context)).split(".");
  // A value that rounds to zero has no sign.
  const negative = value < 0 && /[1-9]/.test(whole + fraction);
  return {
    kind: "number",
    whole: (negative ? MINUS : "") + grouped(whole),
    fraction: fraction === "" ? "" : `.${fraction}`,
  };
}

const MOST_DECIMALS = 5;

/**
 * Decimals to show. With a range, what resolves a few thousandths of it, the same for every value, so
 * that digits do not jump; without one, by magnitude.
 */
export function decimals(value: number, { datatype, low, high, writable }: ValueContext): number {
  const span = low === null || high === null ? 0 : Math.abs(high - low);
  let shown = 1;
  if (span > 0) shown = 4 - Math.ceil(Math.log10(span) - 1e-9);
  else if (value !== 0) shown = decimalsFor(Math.abs(value));
  if (writable === true) shown = Math.max(shown, decimalsOf(value, datatype));
  return Math.min(MOST_DECIMALS, Math.max(0, shown));
}

/** Four digits or so; large values keep one decimal, because theirs move too. */
function decimalsFor(magnitude: number): number {
  const least = magnitude < 1e6 ? 1 : 0;
  return Math.max(least, 3 - Math.floor(Math.log10(magnitude) + 1e-9));
}

/** Decimals that the value has by itself; a Float carries seven digits, the rest is noise. */
function decimalsOf(value: number, datatype: string): number {
  const text = String(datatype === "Float" ? Number(value.toPrecision(7)) : value);
  return text.includes("e") ? 0 : (text.split(".")[1]?.length ?? 0);
}

function integer(digits: string): FormattedValue {
  const negative = digits.startsWith("-");
  const whole = grouped(negative ? digits.slice(1) : digits);
  return { kind: "number", whole: (negative ? MINUS : "") + whole, fraction: "" };
}

/** Digits in threes from five on: 1234, 12 345. */
function grouped(digits: string): string {
  return digits.length < 5 ? digits : digits.replace(/\B(?=(\d{3})+$)/g, GROUP);
}

function compact(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function base64Length(value: string): number {
  const padding = value.endsWith("==") ? 2 : value.endsWith("=") ? 1 : 0;
  return Math.max(0, (value.length / 4) * 3 - padding);
}

const UNIT_SIGNS: readonly (readonly [plain: RegExp, sign: string])[] = [
  [/^deg(?=[CFKR]$)/, "°"],
  [/^deg(ree)?s?$/, "°"],
  [/\bohm\b/i, "Ω"],
  [/^u(?=(?:[msgAVSFWlL]|Pa|mol|Sv)\b)/, "µ"],
  [/(?<=\p{L})\.(?=\p{L})/gu, "·"],
  [/(?<=\p{L})\^?2\b/gu, "²"],
  [/(?<=\p{L})\^?3\b/gu, "³"],
];

/** A unit as it is printed: plants write degC, N.m, m3 where keyboards have no °, · and ³. */
export function formatUnit(unit: string | null): string {
  return UNIT_SIGNS.reduce((text, [plain, sign]) => text.replace(plain, sign), unit ?? "");
}

export interface FormattedAge {
  readonly amount: string;
  readonly unit: string;
}

const AGES: readonly (readonly [limitMs: number, stepMs: number, unit: string])[] = [
  [100_000, 1_000, "s"],
  [100 * 60_000, 60_000, "min"],
  [48 * 3_600_000, 3_600_000, "h"],
  [Infinity, 86_400_000, "d"],
];

/** How long ago, in one number and one unit: 0 s … 99 s, 1 min … 99 min, 1 h … 47 h, 2 d … */
export function formatAge(ageMs: number): FormattedAge {
  const age = Math.max(0, ageMs);
  const [, step, unit] = AGES.find(([limit]) => age < limit) ?? [0, 1_000, "s"];
  return { amount: String(Math.floor(age / step)), unit };
}

const two = (value: number): string => String(value).padStart(2, "0");

/** Local wall-clock time, 24 hours. */
export function formatClock(timeMs: number): string {
  const time = new Date(timeMs);
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** Local date and time in ISO order. */
export function formatDateTime(timeMs: number): string {
  const time = new Date(timeMs);
  if (Number.isNaN(time.getTime())) return String(timeMs);
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${formatClock(timeMs)}`;
}

/** Today's times as a clock, older ones with their date. */
export function formatMoment(timeMs: number, nowMs: number): string {
  const sameDay = new Date(timeMs).toDateString() === new Date(nowMs).toDateString();
  return sameDay ? formatClock(timeMs) : formatDateTime(timeMs);
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/**
 * Marks of a time axis (s), as fine as their distance asks for: seconds, minutes, days.
 *
 * Where a day begins, its date stands instead of midnight.
 */
export function formatTimeTicks(ticks: readonly number[]): string[] {
  const [first, second] = ticks;
  const stepS = first === undefined || second === undefined ? 1 : second - first;
  return ticks.map((tick) => {
    const time = new Date(tick * 1_000);
    const clock = formatClock(tick * 1_000);
    const date = `${time.getDate()} ${MONTHS[time.getMonth()] ?? ""}`;
    if (stepS >= 86_400 || clock === "00:00:00") return stepS >= 28 * 86_400 ? `${date} ${time.getFullYear()}` : date;
    return stepS < 60 ? clock : clock.slice(0, 5);
  });
}

/** "1 node", "2 nodes", "12 345 nodes" */
export function formatCount(count: number, noun: string): string {
  return `${grouped(String(count))} ${noun}${count === 1 ? "" : "s"}`;
}

/** Bytes in the largest unit that leaves at least one: 512 B, 1.5 kB, 2.3 MB. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let amount = bytes;
  let unit = 0;
  while (amount >= 1_000 && unit < units.length - 1) {
    amount /= 1_000;
    unit += 1;
  }
  return `${unit === 0 ? String(amount) : amount.toFixed(1)}\u00a0${units[unit] ?? ""}`;
}

/** A span of time in ms, seconds from ten thousand on. */
export function formatSpan(ms: number): string {
  const sign = ms < 0 ? MINUS : "";
  const size = Math.abs(ms);
  return size < 10_000 ? `${sign}${Math.round(size)}\u00a0ms` : `${sign}${(size / 1_000).toFixed(1)}\u00a0s`;
}

export function formatRate(perSecond: number): string {
  return perSecond > 0 && perSecond < 100 ? perSecond.toFixed(1) : formatInteger(perSecond);
}

/** A host's message, which may begin small and end without a stop, as a sentence. */
export function formatSentence(text: string): string {
  const sentence = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(sentence) || sentence === "" ? sentence : `${sentence}.`;
}

export function formatInteger(count: number): string {
  return grouped(String(Math.round(count)));
}
