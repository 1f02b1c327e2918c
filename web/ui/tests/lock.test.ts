import { expect, it } from "vitest";

import lock from "../package-lock.json?raw";

it("the lock file names no registry, so that any mirror serves", () => {
  expect(lock).toContain('"integrity"');
  expect(lock).not.toContain('"resolved"');
});
