/** Light, dark, or as the system says; remembered in this browser. */

import { shallowRef, watch, type ShallowRef } from "vue";

export type Theme = "system" | "light" | "dark";

const THEMES: readonly Theme[] = ["system", "light", "dark"];
const KEY = "nexus.theme";

function remembered(): Theme {
  const stored = localStorage.getItem(KEY);
  return THEMES.find((theme) => theme === stored) ?? "system";
}

export function useTheme(): { theme: ShallowRef<Theme>; next: () => void; dark: () => boolean } {
  const theme = shallowRef<Theme>(remembered());
  watch(
    theme,
    (now) => {
      localStorage.setItem(KEY, now);
      if (now === "system") delete document.documentElement.dataset["theme"];
      else document.documentElement.dataset["theme"] = now;
    },
    { immediate: true },
  );
  const dark = (): boolean =>
    theme.value === "system"
      ? window.matchMedia("(prefers-color-scheme: dark)").matches
      : theme.value === "dark";
  const next = (): void => {
    theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system";
  };
  return { theme, next, dark };
}
