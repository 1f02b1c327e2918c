// A Sparkplug host made of sparkplug-payload (decoder) and MQTT.js: follows births, data and deaths,
// sends commands. usage: host.js <mqtt url>
//
// sparkplug-payload reads a value only when its datatype stands next to it, and data messages leave
// name and datatype to the birth. So both are put back into the message before it is decoded.
"use strict";

const path = require("path");
const { createRequire } = require("module");

const { tell, listen } = require("./lines.js");

const load = createRequire(path.join(process.env.NODE_PATH, "anchor.js"));
const mqtt = load("mqtt");
const codec = load("sparkplug-payload").get("spBv1.0");
const proto = load("sparkplug-payload/lib/sparkplugPayloadProto.js");
const Payload = proto.org.eclipse.tahu.protobuf.Payload;

const aliases = new Map(); // node id -> alias -> metric of a birth
const names = new Map(); // node id, device -> name -> metric of a birth

function remember(node, device, message) {
  if (device === null) aliases.set(node, new Map());
  const known = new Map();
  names.set(`${node} ${device}`, known);
  for (const metric of message.metrics) {
    known.set(metric.name, metric);
    if (Object.hasOwn(metric, "alias")) aliases.get(node)?.set(String(metric.alias), metric);
  }
}

function complete(node, device, message) {
  for (const metric of message.metrics) {
    const birth = Object.hasOwn(metric, "alias")
      ? aliases.get(node)?.get(String(metric.alias))
      : names.get(`${node} ${device}`)?.get(metric.name);
    if (!birth) continue;
    metric.name = birth.name;
    metric.datatype = birth.datatype;
  }
}

function metricsOf(message) {
  const payload = codec.decodePayload(Payload.encode(message).finish());
  return {
    seq: payload.seq ?? null,
    metrics: Object.fromEntries((payload.metrics ?? []).map((m) => [m.name, m.value ?? null])),
    types: Object.fromEntries((payload.metrics ?? []).map((m) => [m.name, m.type])),
  };
}

const client = mqtt.connect(process.argv[2], { clean: true, reconnectPeriod: 0 });
client.on("connect", () => client.subscribe("spBv1.0/#", { qos: 0 }, () => tell({ event: "ready" })));
client.on("message", (topic, bytes) => {
  const [, group, type, edge, device = null] = topic.split("/");
  if (group === "STATE" || type.endsWith("CMD")) return;
  const node = `${group}/${edge}`;
  const message = Payload.decode(bytes);
  if (type.endsWith("BIRTH")) remember(node, device, message);
  else if (type.endsWith("DATA")) complete(node, device, message);
  const event = type.slice(1).toLowerCase();
  tell({ event, node, device, ...metricsOf(message) });
});

function command(topic, metric) {
  const payload = { timestamp: Date.now(), metrics: [{ timestamp: Date.now(), ...metric }] };
  client.publish(topic, Buffer.from(codec.encodePayload(payload)), { qos: 0, retain: false });
}

listen({
  rebirth({ node }) {
    const [group, edge] = node.split("/");
    const metric = { name: "Node Control/Rebirth", type: "Boolean", value: true };
    command(`spBv1.0/${group}/NCMD/${edge}`, metric);
  },
  write({ node, device, metric, type, value }) {
    const [group, edge] = node.split("/");
    command(`spBv1.0/${group}/DCMD/${edge}/${device}`, { name: metric, type, value });
  },
  stop() {
    client.end(false, () => process.exit(0));
  },
});
