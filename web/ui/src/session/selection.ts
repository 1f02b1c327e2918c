/**
 * What is selected in the plant, kept in the address so that a reload and a link show the same.
 *
 * `#/group/edge/device`; Sparkplug forbids `/` in these names.
 */

import { onScopeDispose, shallowRef, type ShallowRef } from "vue";

export interface Selection {
  readonly group: string | null;
  readonly edge: string | null;
  readonly device: string | null;
}

export const WHOLE_PLANT: Selection = { group: null, edge: null, device: null };

export function parseHash(hash: string): Selection {
  const parts = hash.replace(/^#\/?/, "").split("/").filter((part) => part !== "");
  const [group = null, edge = null, device = null] = parts.map(decode);
  return { group, edge, device };
}

export function formatHash({ group, edge, device }: Selection): string {
  const parts = [group, edge, device].filter((part) => part !== null);
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a stray % typed by hand
  }
}

/** The key that the tree gives to the row of this selection; null for the whole plant. */
export function selectionKey({ group, edge, device }: Selection): string | null {
  if (group === null) return null;
  if (edge === null) return `${group}/`;
  return device === null ? `${group}/${edge}` : `${group}/${edge}/${device}`;
}

export function parseKey(key: string): Selection {
  const [group = "", edge = "", device = ""] = key.split("/");
  return { group, edge: edge === "" ? null : edge, device: device === "" ? null : device };
}

export function useSelection(): { selection: ShallowRef<Selection>; select: (to: Selection) => void } {
  const selection = shallowRef(parseHash(location.hash));
  const follow = (): void => {
    selection.value = parseHash(location.hash);
  };
  window.addEventListener("hashchange", follow);
  onScopeDispose(() => {
    window.removeEventListener("hashchange", follow);
  });
  const select = (to: Selection): void => {
    location.hash = formatHash(to);
    selection.value = to;
  };
  return { selection, select };
}
