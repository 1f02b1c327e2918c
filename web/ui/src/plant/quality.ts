/** Sparkplug and OPC quality codes in words. */

export const GOOD = 192;
export const BAD = 0;
export const STALE = 500;

export type QualityKind = "good" | "uncertain" | "bad" | "stale";

export function qualityKind(code: number): QualityKind {
  if (code === STALE) return "stale";
  if (code >= GOOD && code < 256) return "good";
  return code >= 64 && code < 128 ? "uncertain" : "bad";
}

const WORDS: Readonly<Record<QualityKind, string>> = {
  good: "Good",
  uncertain: "Uncertain",
  bad: "Bad",
  stale: "Stale",
};

/** The word, with the code where it says more than the word. */
export function formatQuality(code: number): string {
  const word = WORDS[qualityKind(code)];
  return code === GOOD || code === BAD || code === STALE ? word : `${word} ${code}`;
}
