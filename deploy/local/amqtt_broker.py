"""amqtt as a process of its own, for machines without mosquitto: ``python -m … PORT``."""

import asyncio
import contextlib
import signal
import sys

from amqtt.broker import Broker

from deploy.local.ports import LOOPBACK


async def serve(port: int) -> None:
    """Serve MQTT on the loopback interface until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {}},
        }
    )
    await broker.start()
    await stop.wait()
    # Clients that are still there must not keep the machine's port.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(broker.shutdown(), timeout=3)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
