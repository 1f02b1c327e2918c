/** What the parts of the signed-in page share, handed down once. */

import { inject, provide, type InjectionKey, type ShallowRef } from "vue";

import type { Live } from "./live";
import type { Selection } from "./selection";
import type { Toasts } from "./toasts";
import type { Writes } from "./writes";

export interface ConsoleContext {
  readonly live: Live;
  readonly writes: Writes;
  readonly toasts: Toasts;
  readonly selection: ShallowRef<Selection>;
  readonly select: (to: Selection) => void;
  /** Whether the host lets this user write and ask for rebirths. */
  readonly mayWrite: boolean;
}

const KEY: InjectionKey<ConsoleContext> = Symbol("console");

export function provideConsole(context: ConsoleContext): void {
  provide(KEY, context);
}

export function useConsole(): ConsoleContext {
  const context = inject(KEY);
  if (context === undefined) throw new Error("this component stands outside of the console page");
  return context;
}
