/** Starts the console. */

import "@fontsource-variable/ibm-plex-sans/wght.css";
import "./styles/tokens.css";
import "./styles/base.css";

import { createApp } from "vue";

import App from "./App.vue";

createApp(App).mount("#console");
