// A Modbus TCP server of one of npm's libraries: `node server.js modbus-serial|jsmodbus PORT`.
// Holding and input register n hold 100 + n, even coils are on. It prints one JSON line when it listens.
"use strict";

const net = require("node:net");

const SIZE = 200;
const PORT = Number(process.argv[3]);

function modbusSerial() {
  const { ServerTCP } = require("modbus-serial");
  const registers = Array.from({ length: SIZE }, (_, n) => 100 + n);
  const coils = Array.from({ length: SIZE }, (_, n) => n % 2 === 0);
  const known = (address) => {
    if (address < SIZE) return address;
    throw { modbusErrorCode: 2, msg: "no such address" };
  };
  const server = new ServerTCP(
    {
      getHoldingRegister: (address) => registers[known(address)],
      getInputRegister: (address) => registers[known(address)],
      getCoil: (address) => coils[known(address)],
      getDiscreteInput: (address) => coils[known(address)],
      setRegister: (address, value) => {
        registers[known(address)] = value;
      },
      setCoil: (address, value) => {
        coils[known(address)] = value;
      },
    },
    { host: "127.0.0.1", port: PORT, unitID: 1 },
  );
  server.on("socketError", () => {});
  server.on("initialized", tell);
}

function jsmodbus() {
  const modbus = require("jsmodbus");
  const tcp = net.createServer();
  const holding = Buffer.alloc(2 * SIZE);
  const coils = Buffer.alloc(SIZE / 8, 0x55);
  for (let n = 0; n < SIZE; n++) holding.writeUInt16BE(100 + n, 2 * n);
  new modbus.server.TCP(tcp, {
    holding,
    input: Buffer.from(holding),
    coils,
    discrete: Buffer.from(coils),
  });
  tcp.listen(PORT, "127.0.0.1", tell);
}

function tell() {
  console.log(JSON.stringify({ event: "listening" }));
}

({ "modbus-serial": modbusSerial, jsmodbus })[process.argv[2]]();
