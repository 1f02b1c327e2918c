"""A simulated bottling line: physics, register maps, and Modbus servers that offer them."""
