"""The live socket."""

import asyncio
import contextlib

import structlog
from quart import Blueprint, websocket

from host_app.users import User
from web.auth import the_user
from web.context import WebContext, context
from web.live import LiveClient

log = structlog.get_logger(__name__)
blueprint = Blueprint("live", __name__)

SEND_TIMEOUT_S = 20.0
"""A browser that takes nothing for this long is let go; it comes back by itself."""

_GOING_AWAY = 1001
_SIGNED_OUT = 4401


@blueprint.websocket("/api/v1/live")
async def live() -> None:
    """Send the whole picture, then what changes."""
    user = the_user()
    ours = context()
    client = ours.hub.join()
    try:
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(_drain())
            try:
                await _tell(ours, client, user)
            except TimeoutError:
                log.warning("live_client_too_slow", user=user.name)
                ours.hub.leave(client)
                await _close_stuck()
            listening.cancel()
    finally:
        ours.hub.leave(client)


async def _tell(ours: WebContext, client: LiveClient, user: User) -> None:
    for message in ours.hub.snapshot():
        await _send(message)
    while (messages := await client.take()) is not None:
        if ours.users.find(user.name) != user:
            await websocket.close(_SIGNED_OUT)
            return
        for message in messages:
            await _send(message)
    await websocket.close(_GOING_AWAY)


async def _send(message: str) -> None:
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await websocket.send(message)


async def _close_stuck() -> None:
    # The goodbye has to pass where nothing passes; the kernel ends the connection if it cannot.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            await websocket.close(_GOING_AWAY)


async def _drain() -> None:
    # Clients have nothing to say here; reading is how their leaving is noticed.
    while True:
        await websocket.receive()
