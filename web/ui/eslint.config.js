import js from "@eslint/js";
import vue from "eslint-plugin-vue";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  { ignores: ["node_modules/"] },
  js.configs.recommended,
  {
    files: ["src/**/*.ts", "src/**/*.vue", "tests/**/*.ts", "vite.config.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, extraFileExtensions: [".vue"] },
    },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      eqeqeq: "error",
      "no-console": "error",
    },
  },
  vue.configs["flat/recommended"],
  {
    files: ["src/**/*.vue"],
    languageOptions: { parserOptions: { parser: tseslint.parser } },
    rules: {
      "vue/block-lang": ["error", { script: { lang: "ts" } }],
      "vue/no-v-html": "error",
      "vue/max-attributes-per-line": "off", // line length decides
      "vue/singleline-html-element-content-newline": "off",
      "vue/html-self-closing": ["error", { html: { void: "always", normal: "never" } }],
      "no-undef": "off", // TypeScript knows
    },
  },
  {
    files: ["src/main.ts"],
    // The linter's TypeScript cannot see into .vue files; vue-tsc checks those types.
    rules: { "@typescript-eslint/no-unsafe-argument": "off" },
  },
);
