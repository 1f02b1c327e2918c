"""Modbus: addresses and plans are pure, the codec is sans-IO, the driver alone touches sockets."""
