// The line protocol that every peer speaks: orders come in on stdin, events go out on stdout, one
// JSON object a line. Knows nothing of Sparkplug.
"use strict";

const readline = require("readline");

/** 64-bit integers that a number holds exactly become numbers, others text; bytes hexadecimal. */
function plain(_key, value) {
  if (value && typeof value === "object" && value.constructor.name === "Long") {
    const number = value.toNumber();
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (value && value.type === "Buffer") return Buffer.from(value.data).toString("hex");
  return value;
}

/** Writes one event. */
function tell(event) {
  process.stdout.write(JSON.stringify(event, plain) + "\n");
}

/** Calls the handler that an order's "do" names; the end of stdin is the order to stop. */
function listen(handlers) {
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const order = JSON.parse(line);
    handlers[order.do](order);
  });
  lines.on("close", () => handlers.stop({ do: "stop" }));
}

module.exports = { tell, listen };
