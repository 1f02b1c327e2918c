"""A simulated OPC UA server: a plant of devices, with security, users, limits and faults.

Knows nothing of the edge node, and of the command line only what it is told.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final

from asyncua import Server, ua
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.local.plant.faults import Fault
from deploy.local.plant.opcua_device import Device
from deploy.local.plant.opcua_faults import WIRE, FaultyBinaryServer, WireFaults

APPLICATION_URI: Final = "urn:nexus:simulator:opcua"
NAMESPACE_URI: Final = "urn:nexus:simulator:plant"
"""Of the devices' nodes; its index changes with the fault ``reindex``, this does not."""

POLICIES: Final = ("None", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
"""Security policies that can be offered, each but None with Sign and with SignAndEncrypt."""

_OTHER_URI: Final = "urn:nexus:simulator:other"
_AWAY_S: Final = 2.0
"""How long a restart or a deletion lasts."""


@dataclass(frozen=True, slots=True)
class PlantSettings:
    """What is served.

    Attributes:
        bind: address to listen at.
        devices: how many.
        tags: doubles of each.
        change_s: seconds between two changes of every value.
        policies: of ``POLICIES``.
        user: who may sign in, instead of everybody.
        password: of ``user``.
        faults: what goes wrong.
        seed: of the faults' chance.
        pki: folder that keeps the server's certificate and key, made beforehand.
    """

    bind: str
    devices: int
    tags: int
    change_s: float
    pki: Path
    policies: Sequence[str] = POLICIES
    user: str | None = None
    password: str = field(default="", repr=False)
    faults: Sequence[Fault] = ()
    seed: int = 1


class OpcUaPlant:
    """The server, through all its restarts."""

    def __init__(self, settings: PlantSettings) -> None:
        self._settings = settings
        self._began = time.monotonic()
        chance = Random(settings.seed)  # noqa: S311  # chance, not cryptography
        wire = [fault for fault in settings.faults if fault.kind in WIRE]
        self._wire = WireFaults(wire, chance) if wire else None
        self._server: _PlantServer | None = None
        self._port = 0
        self.devices: list[Device] = []

    async def start(self, port: int, *, spare_namespaces: int = 0) -> int:
        """Listen at a port, or any when it is 0, and return it.

        Raises:
            OSError: it cannot be listened at.
        """
        server = _PlantServer(self._wire, user_manager=_Users(self._settings))
        await server.init()
        await server.set_application_uri(APPLICATION_URI)
        server.set_server_name("NEXUS Edge simulator")
        await self._secure(server)
        for number in range(spare_namespaces):
            await server.register_namespace(f"{_OTHER_URI}:{number}")
        namespace = await server.register_namespace(NAMESPACE_URI)
        types = await _make_types(server, namespace)
        plant = await server.nodes.objects.add_folder(
            ua.NodeId("Plant", namespace), ua.QualifiedName("Plant", namespace)
        )
        status = {f.device: int(f.value) for f in self._settings.faults if f.kind == "status"}
        self.devices = []
        for number in range(1, self._settings.devices + 1):
            code = status.get(number, status.get(None, 0))
            device = Device(server, namespace, number, self._settings.tags, code)
            await device.create(plant, types)
            self.devices.append(device)
        server.set_endpoint(f"opc.tcp://{self._settings.bind}:{port}/")
        await server.start()
        self._server = server
        self._port = server.bserver.port
        self._parent, self._types = plant, types
        return self._port

    async def stop(self) -> None:
        """Close all connections and stop listening."""
        if self._server is not None:
            await self._server.stop()
            self._server = None

    async def run(self) -> None:
        """Change values, and let happen what the faults say, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._change())
            for fault in self._settings.faults:
                if fault.kind == "recreate":
                    tasks.create_task(self._recreate(fault))
                elif fault.kind in {"restart", "reindex"}:
                    tasks.create_task(self._restart(fault))

    async def _change(self) -> None:
        change_s = self._settings.change_s
        for step in count(1):
            # on the clock's grid, so that a slow step is not followed by ever later ones
            await asyncio.sleep(max(0.0, self._began + step * change_s - time.monotonic()))
            now = datetime.now(tz=UTC)
            for device in self.devices:
                await device.step(step, now)

    async def _recreate(self, fault: Fault) -> None:
        while True:
            await asyncio.sleep(fault.value)
            for number, device in enumerate(list(self.devices), 1):
                if fault.device in {None, number}:
                    await device.delete()
            await asyncio.sleep(_AWAY_S)
            for number, device in enumerate(list(self.devices), 1):
                if fault.device in {None, number}:
                    await device.create(self._parent, self._types)

    async def _restart(self, fault: Fault) -> None:
        for turn in count(1):
            await asyncio.sleep(fault.value)
            self.devices = []
            await self.stop()
            await asyncio.sleep(_AWAY_S)
            spare = turn % 2 if fault.kind == "reindex" else 0
            await self.start(self._port, spare_namespaces=spare)

    async def _secure(self, server: Server) -> None:
        settings = self._settings
        offered = []
        for policy in settings.policies:
            if policy == "None":
                offered.append(ua.SecurityPolicyType.NoSecurity)
                continue
            offered += [
                ua.SecurityPolicyType[f"{policy}_{mode}"] for mode in ("Sign", "SignAndEncrypt")
            ]
        server.set_security_policy(offered)
        tokens = [ua.UserNameIdentityToken] if settings.user else [ua.AnonymousIdentityToken]
        server.set_identity_tokens(tokens)
        await load_certificate(server, settings.pki)


class _PlantServer(Server):  # type: ignore[misc]  # the library is not typed
    """The library's server, with the faults on its connections."""

    def __init__(self, faults: WireFaults | None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._faults = faults

    async def start(self) -> None:
        if self._faults is None:
            await super().start()
            return
        await self._setup_server_nodes()
        await self.iserver.start()
        bind = self._get_bind_socket_info()
        self.bserver = FaultyBinaryServer(self._faults, self.iserver, *bind, self.limits)
        self.bserver.set_policies(self._policies)
        await self.bserver.start()


class _Users:
    """Who may sign in."""

    def __init__(self, settings: PlantSettings) -> None:
        self._settings = settings

    def get_user(
        self,
        _server: object,
        username: str | None = None,
        password: str | None = None,
        certificate: object = None,
    ) -> User | None:
        """Return the user that the library takes the rights of, or none to refuse."""
        del certificate
        known = (self._settings.user, self._settings.password)
        if self._settings.user is not None and (username, password) != known:
            return None
        return User(role=UserRole.User, name=username)


async def load_certificate(server: Server, pki: Path) -> None:
    """Give a server the certificate that its folder has, made where there is none."""
    certificate, key = pki / "certificate.der", pki / "key.pem"
    await setup_self_signed_certificate(
        key,
        certificate,
        APPLICATION_URI,
        "localhost",
        [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
        {"organizationName": "NEXUS Edge simulator"},
    )
    await server.load_certificate(certificate)
    await server.load_private_key(key)


async def _make_types(server: Server, namespace: int) -> dict[str, ua.NodeId]:
    """Make the simulator's own data types: an enumeration and a structure."""
    mode = await new_enum(server, namespace, "Mode", ["Stopped", "Running", "Fault"])
    fields = [
        new_struct_field("Name", ua.VariantType.String),
        new_struct_field("Speed", ua.VariantType.Double),
        new_struct_field("Steps", ua.VariantType.Int32, array=True),
    ]
    structure, _ = await new_struct(server, namespace, "Recipe", fields)
    await server.load_data_type_definitions()
    return {"Mode": mode.nodeid, "Recipe": structure.nodeid}
