"""OPC UA (IEC 62541) over its binary TCP protocol."""
