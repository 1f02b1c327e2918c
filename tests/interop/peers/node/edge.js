// An edge node made of sparkplug-client: two metrics on one device, one of them writable.
// usage: edge.js <mqtt url> <group> <edge node> <device> [DEFLATE|GZIP]
"use strict";

const path = require("path");
const { createRequire } = require("module");

const { tell, listen } = require("./lines.js");

const load = createRequire(path.join(process.env.NODE_PATH, "anchor.js"));
const [, , serverUrl, groupId, edgeNode, device, algorithm] = process.argv;
const client = load("sparkplug-client").newClient({
  serverUrl,
  groupId,
  edgeNode,
  username: "",
  password: "",
  clientId: `${groupId}-${edgeNode}`,
  version: "spBv1.0",
  publishDeath: true,
});
const options = algorithm ? { compress: true, algorithm } : {};
const values = { temperature: 21.5, setpoint: 40 };

function metric(name, type, value) {
  return { timestamp: Date.now(), name, type, value };
}

function deviceMetrics(names) {
  return names.map((name) => metric(name, "Double", values[name]));
}

function birth() {
  const control = [metric("Node Control/Rebirth", "Boolean", false)];
  client.publishNodeBirth({ timestamp: Date.now(), metrics: control }, options);
  const metrics = deviceMetrics(Object.keys(values));
  client.publishDeviceBirth(device, { timestamp: Date.now(), metrics }, options);
  tell({ event: "born" });
}

function update(name, value) {
  values[name] = value;
  const metrics = deviceMetrics([name]);
  client.publishDeviceData(device, { timestamp: Date.now(), metrics }, options);
}

client.on("birth", birth);
client.on("ncmd", (payload) => {
  tell({ event: "rebirth" });
  if (payload.metrics.some((m) => m.name === "Node Control/Rebirth" && m.value)) birth();
});
client.on("dcmd", (_device, payload) => {
  for (const { name, value } of payload.metrics) {
    tell({ event: "command", metric: name, value });
    update(name, value);
  }
});

listen({
  update({ metric: name, value }) {
    update(name, value);
  },
  device_gone() {
    client.publishDeviceDeath(device, { timestamp: Date.now() });
  },
  stop() {
    client.stop();
    setTimeout(() => process.exit(0), 300);
  },
});
