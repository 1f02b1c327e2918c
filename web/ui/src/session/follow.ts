/** Ties what is computed from the plant, which is not reactive, to the numbers that tell of changes. */

import { toValue, type MaybeRefOrGetter } from "vue";

/** Makes the computed property that calls this be computed again when one of the sources changes. */
export function follow(...sources: readonly MaybeRefOrGetter<number>[]): void {
  for (const source of sources) toValue(source);
}
