// An OPC UA server of npm's node-opcua: `node server.js OPTIONS`, with OPTIONS as JSON:
//   port, pki (folder), user and password (nobody else may sign in), maxNodesPerCall, maxMonitoredItems,
//   filters (false: monitored items with a filter are refused), maxSessions.
// Its nodes lie in urn:nexus:stranger under Objects/Stranger. It speaks the line protocol: it prints
// {"event": "listening"} and takes the orders restart (with other options), set, delete, create and stop on stdin.
"use strict";

console.log = console.error; // whatever the library prints
console.info = console.error;

const readline = require("node:readline");
const opcua = require("node-opcua");

const { DataType, StatusCodes, VariantArrayType } = opcua;
const GIVEN = JSON.parse(process.argv[2]);
const URI = "urn:nexus:stranger";
const SCALARS = {
  Boolean: true,
  SByte: -128,
  Byte: 255,
  Int16: -32768,
  UInt16: 65535,
  Int32: -2147483648,
  UInt32: 4294967295,
  Int64: opcua.coerceInt64("-9223372036854775808"),
  UInt64: opcua.coerceUInt64("18446744073709551615"),
  Float: 1.5,
  Double: 0.1,
  String: "Käse",
  DateTime: new Date("2001-02-03T04:05:06.789Z"),
  Guid: "12345678-1234-5678-1234-567812345678",
  ByteString: Buffer.from([0, 255, 7]),
  LocalizedText: opcua.coerceLocalizedText({ locale: "de", text: "Käse" }),
};
const BLOCK = 300;

let options = GIVEN;
let server;
let namespace;
let folder;
let timer;

// A server without data change filters, as small controllers are.
const create = opcua.Subscription.prototype.preCreateMonitoredItem;
opcua.Subscription.prototype.preCreateMonitoredItem = function (space, timestamps, request) {
  if (options.filters === false && request.requestedParameters.filter) {
    const statusCode = StatusCodes.BadMonitoredItemFilterUnsupported;
    return { createResult: new opcua.MonitoredItemCreateResult({ statusCode }) };
  }
  return create.call(this, space, timestamps, request);
};

function variable(id, dataType, value, more = {}) {
  return namespace.addVariable({
    componentOf: folder,
    nodeId: `s=${id}`,
    browseName: id,
    dataType,
    minimumSamplingInterval: 50,
    value: { dataType, arrayType: VariantArrayType.Scalar, value },
    ...more,
  });
}

function array(id, dataType, value) {
  variable(id, dataType, null, { value: { dataType, arrayType: VariantArrayType.Array, value }, valueRank: 1 });
}

async function recipe() {
  const type = namespace.createDataType({
    browseName: "Recipe",
    isAbstract: false,
    subtypeOf: namespace.addressSpace.findDataType("Structure"),
    partialDefinition: [
      { name: "Name", dataType: DataType.String, valueRank: -1 },
      { name: "Speed", dataType: DataType.Double, valueRank: -1 },
      { name: "Steps", dataType: DataType.Int32, valueRank: 1 },
    ],
  });
  const encoding = namespace.addObject({
    browseName: { name: "Default Binary", namespaceIndex: 0 },
    typeDefinition: "DataTypeEncodingType",
  });
  type.addReference({ referenceType: "HasEncoding", isForward: true, nodeId: encoding.nodeId });
  await opcua.ensureDatatypeExtracted(namespace.addressSpace);
  const value = namespace.addressSpace.constructExtensionObject(type, {
    name: "Raspberry",
    speed: 2.5,
    steps: [1, 2, 3],
  });
  variable("Recipe", type.nodeId, null, { value: { dataType: DataType.ExtensionObject, value } });
}

function sum(inputs, _context, callback) {
  const [a, b] = inputs.map((input) => input.value);
  if (a < 0) return callback(null, { statusCode: StatusCodes.BadOutOfRange });
  return callback(null, {
    statusCode: StatusCodes.Good,
    outputArguments: [{ dataType: DataType.Double, value: a + b }],
  });
}

async function populate(spareNamespaces) {
  const space = server.engine.addressSpace;
  for (let n = 0; n < spareNamespaces; n++) space.registerNamespace(`urn:nexus:spare:${n}`);
  namespace = space.registerNamespace(URI);
  folder = namespace.addObject({ organizedBy: space.rootFolder.objects, nodeId: "s=Stranger", browseName: "Stranger" });
  for (const [type, value] of Object.entries(SCALARS)) variable(`Scalar.${type}`, DataType[type], value);
  array("Array.Int32", DataType.Int32, new Int32Array([1, -2, 3]));
  array("Array.String", DataType.String, ["a", "ä", ""]);
  variable("Setpoint", DataType.Double, 1.5);
  variable("Ready", DataType.Boolean, false);
  // a number by chance, not by its type: a deadband cannot be held against it
  variable("Loose", "BaseDataType", null, { value: { dataType: DataType.Double, value: 2.5 } });
  variable("Fixed", DataType.Double, 7.5, { accessLevel: "CurrentRead", userAccessLevel: "CurrentRead" });
  variable("Broken", DataType.Double, 0).setValueFromSource({ dataType: DataType.Null }, StatusCodes.BadSensorFailure);
  const forced = { dataType: DataType.Double, value: 3.5 };
  variable("Forced", DataType.Double, 0).setValueFromSource(forced, StatusCodes.GoodLocalOverride);
  // a value without a source timestamp, as many gateways give it
  const timeless = variable("Timeless", DataType.Double, 4.5, { value: undefined });
  timeless.bindVariable({
    timestamped_get: () => new opcua.DataValue({ statusCode: StatusCodes.Good, value: { dataType: DataType.Double, value: 4.5 } }),
  });
  for (let n = 1; n <= BLOCK; n++) variable(`Block.${n}`, DataType.Int32, n);
  variable("Comes", DataType.Int32, 11);
  await recipe();
  const method = namespace.addMethod(folder, {
    nodeId: "s=Sum",
    browseName: "Sum",
    inputArguments: ["a", "b"].map((name) => ({ name, dataType: DataType.Double })),
    outputArguments: [{ name: "sum", dataType: DataType.Double }],
  });
  method.bindMethod(sum);
  const count = variable("Count", DataType.Int32, 0);
  let counted = 0;
  timer = setInterval(() => count.setValueFromSource({ dataType: DataType.Int32, value: ++counted }), 100);
}

async function start(spareNamespaces = 0) {
  const pki = new opcua.OPCUACertificateManager({
    rootFolder: options.pki,
    automaticallyAcceptUnknownCertificate: true,
    disableFileWatchers: true,
  });
  const most = options.maxNodesPerCall ?? 1000;
  server = new opcua.OPCUAServer({
    port: options.port,
    host: "127.0.0.1",
    hostname: "127.0.0.1",
    serverCertificateManager: pki,
    userCertificateManager: pki,
    buildInfo: { productName: "Stranger", manufacturerName: "npm" },
    allowAnonymous: !options.user,
    userManager: { isValidUser: (user, password) => user === options.user && password === options.password },
    serverCapabilities: {
      maxSessions: options.maxSessions ?? 100,
      maxMonitoredItems: options.maxMonitoredItems ?? 10000,
      maxMonitoredItemsPerSubscription: options.maxMonitoredItems ?? 10000,
      operationLimits: {
        maxNodesPerRead: most,
        maxNodesPerWrite: most,
        maxNodesPerBrowse: most,
        maxMonitoredItemsPerCall: most,
        maxNodesPerTranslateBrowsePathsToNodeIds: most,
      },
    },
  });
  await server.initialize();
  await populate(spareNamespaces);
  await server.start();
  say({ event: "listening", port: options.port });
}

async function stop() {
  clearInterval(timer);
  await server.shutdown(0);
}

const node = (id) => namespace.findNode(`s=${id}`);

const ORDERS = {
  restart: async (order) => {
    await stop();
    options = { ...GIVEN, ...order.options };
    await start(order.spare ?? 0);
  },
  set: (order) =>
    node(order.node).setValueFromSource(
      { dataType: DataType[order.type ?? "Double"], value: order.value },
      StatusCodes[order.status ?? "Good"],
    ),
  delete: (order) => namespace.addressSpace.deleteNode(node(order.node)),
  create: (order) => variable(order.node, DataType.Int32, order.value),
  stop: async () => {
    await stop();
    process.exit(0);
  },
};

function say(event) {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

readline
  .createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const order = JSON.parse(line);
    await ORDERS[order.do](order);
    say({ event: "done", do: order.do });
  })
  .on("close", () => process.exit(0));
start();
