/** Values of the wire as numbers, where they are numbers. */

import type { Value } from "../wire/messages";

/**
 * What a plot can show of a value: null for text, structures, NaN and the infinities.
 *
 * Integers beyond 2^53 come as strings; a plot can live with their nearest double.
 */
export function numeric(value: Value, datatype: string): number | null {
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "string") return isInteger(datatype) ? Number(value) : null;
  if (typeof value !== "number" || !Number.isFinite(value)) return null;
  return isInteger(datatype) || isFloat(datatype) ? value : null;
}

const INTEGERS: ReadonlyMap<string, readonly [low: bigint, high: bigint]> = new Map(
  [8, 16, 32, 64].flatMap((bits) => {
    const half = 2n ** BigInt(bits - 1);
    return [
      [`Int${bits}`, [-half, half - 1n] as const],
      [`UInt${bits}`, [0n, 2n * half - 1n] as const],
    ];
  }),
);

/** The bounds of an integer type, null for every other type. */
export function integerBounds(datatype: string): readonly [low: bigint, high: bigint] | null {
  return INTEGERS.get(datatype) ?? null;
}

export function isInteger(datatype: string): boolean {
  return INTEGERS.has(datatype);
}

export function isFloat(datatype: string): boolean {
  return datatype === "Float" || datatype === "Double";
}
