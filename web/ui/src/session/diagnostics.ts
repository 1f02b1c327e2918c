/** A node's diagnostics, asked for again and again while somebody looks at them. */

import { onScopeDispose, shallowRef, watch, type ShallowRef } from "vue";

import type { PlantNode } from "../plant/model";
import type { DiagnosticsJson } from "../wire/diagnostics";
import { nodeDiagnostics } from "../wire/rest";
import { follow } from "./follow";
import type { Live } from "./live";

const INTERVAL_MS = 2_000;

export interface Diagnostics {
  /** Null until the first answer. */
  readonly now: ShallowRef<DiagnosticsJson | null>;
  /** Why there is none, or none newer; empty when all is well. */
  readonly problem: ShallowRef<string>;
}

export function useDiagnostics(node: () => PlantNode, live: Live): Diagnostics {
  const now = shallowRef<DiagnosticsJson | null>(null);
  const problem = shallowRef("");
  let timer: ReturnType<typeof setTimeout> | undefined;
  let left = false;

  async function ask(): Promise<void> {
    clearTimeout(timer);
    const { id, group, edge } = node();
    try {
      const answer = await nodeDiagnostics(group, edge);
      if (node().id === id) {
        now.value = answer;
        problem.value = "";
      }
    } catch (error) {
      problem.value = error instanceof Error ? error.message : String(error);
    }
    clearTimeout(timer);
    if (!left) timer = setTimeout(() => void ask(), INTERVAL_MS);
  }

  // Another node is asked for at once, and so is this one when it was born or died.
  const life = (): string => {
    follow(live.structure);
    const { id, online, births, deaths } = node();
    return `${id} ${online} ${births} ${deaths}`;
  };
  watch(life, () => void ask(), { immediate: true });
  onScopeDispose(() => {
    left = true;
    clearTimeout(timer);
  });
  return { now, problem };
}
