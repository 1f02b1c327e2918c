/**
 * What an operator typed, as a value of the metric's type.
 *
 * The host checks again; this tells at once, in the same terms: what was found, what was expected.
 */

import type { Value } from "../wire/messages";
import { integerBounds, isFloat } from "./numbers";

export interface EntryTarget {
  readonly datatype: string;
  /** What the numbers mean, by their digits; nothing else may be written then. */
  readonly enumeration?: Readonly<Record<string, string>> | null;
  readonly low: number | null;
  readonly high: number | null;
}

export type Entry =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly problem: string };

export type EntryKind = "number" | "flag" | "text" | "none";

/** The kind of control a type is edited with; none for structures and binary. */
export function entryKind(datatype: string): EntryKind {
  if (datatype === "Boolean") return "flag";
  if (integerBounds(datatype) !== null || isFloat(datatype)) return "number";
  return datatype === "String" || datatype === "Text" || datatype === "UUID" ? "text" : "none";
}

export interface Choice {
  readonly typed: string;
  readonly label: string;
}

/** What there is to choose from; none where the birth names no values. */
export function choices({ datatype, enumeration }: EntryTarget): Choice[] {
  if (enumeration === undefined || enumeration === null) return [];
  const kind = entryKind(datatype);
  return Object.entries(enumeration).map(([number, name]) => {
    if (kind === "text") return { typed: name, label: name };
    return { typed: kind === "flag" ? String(number === "1") : number, label: `${name} (${number})` };
  });
}

export function parseEntry(typed: string, target: EntryTarget): Entry {
  const offered = choices(target);
  if (offered.length > 0 && !offered.some((choice) => choice.typed === typed)) {
    return bad("Choose one of the values.");
  }
  switch (entryKind(target.datatype)) {
    case "number":
      return parseNumber(typed, target);
    case "flag":
      return { ok: true, value: typed === "true" };
    case "text":
      return { ok: true, value: typed };
    case "none":
      return bad(`Values of type ${target.datatype} cannot be written from here.`);
  }
}

function bad(problem: string): Entry {
  return { ok: false, problem };
}

function parseNumber(typed: string, target: EntryTarget): Entry {
  // As people type and as this console prints: spaces between thousands, a comma, a real minus.
  const text = typed.replace(/[\s\u202f]/g, "").replace(",", ".").replace("\u2212", "-");
  if (text === "") return bad("Type a number.");
  const bounds = integerBounds(target.datatype);
  if (bounds !== null) return parseInteger(text, bounds, target);
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return bad(`“${typed}” is not a number.`);
  const value = Number(text);
  if (!Number.isFinite(value)) return bad(`“${typed}” does not fit a ${target.datatype}.`);
  return outside(value, target) ?? { ok: true, value };
}

function parseInteger(text: string, [low, high]: readonly [bigint, bigint], target: EntryTarget): Entry {
  if (!/^[+-]?\d+$/.test(text)) return bad(`“${text}” is not a whole number.`);
  const exact = BigInt(text.replace("+", ""));
  if (exact < low || exact > high) {
    return bad(`${text} does not fit ${target.datatype}: ${low} to ${high}.`);
  }
  const value = Number(exact);
  return outside(value, target) ?? { ok: true, value: Number.isSafeInteger(value) ? value : String(exact) };
}

function outside(value: number, { low, high }: EntryTarget): Entry | null {
  if (low !== null && value < low) return bad(`${value} is below the lowest allowed, ${low}.`);
  if (high !== null && value > high) return bad(`${value} is above the highest allowed, ${high}.`);
  return null;
}

/** The allowed range in words; an empty string when the type alone limits it. */
export function rangeHint({ low, high }: EntryTarget, unit: string): string {
  const suffix = unit === "" ? "" : `\u00a0${unit}`;
  if (low !== null && high !== null) return `${low} to ${high}${suffix}`;
  if (low !== null) return `from ${low}${suffix}`;
  return high === null ? "" : `up to ${high}${suffix}`;
}
