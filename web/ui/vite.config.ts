import { fileURLToPath } from "node:url";

import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vitest/config";

// `npm run dev` serves the page itself and passes the API on to a host that is already running.
const host = process.env.NEXUS_CONSOLE_DEV_HOST ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [vue()],
  // Relative addresses: the page works at / and behind a reverse proxy's path alike.
  base: "./",
  build: {
    outDir: fileURLToPath(new URL("../static", import.meta.url)),
    emptyOutDir: true,
    target: ["chrome123", "edge123", "firefox121", "safari17.5"],
    // Everything stays a file of its own, so that the content security policy needs no data: source.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "/api": { target: host, ws: true, changeOrigin: true } },
  },
  test: {
    environment: "node",
    include: ["tests/**/*.test.ts"],
  },
});
