"""An OPC UA device's configuration: its server, its groups of monitored items and its tags.

What only the driver can judge (whether an address is one) is judged by the driver; what only the
server can (whether a node is there) shows as the tag's quality.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from proto.control.device import Device, PollGroup, Tag, check_tags
from proto.control.document import Document

OpcUaScalar = Literal[
    "bool",
    "sbyte",
    "byte",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float",
    "double",
    "string",
    "datetime",
    "guid",
    "bytestring",
    "xmlelement",
    "nodeid",
    "statuscode",
    "qualifiedname",
    "localizedtext",
]
"""OPC UA's built-in types; enumerations are ``int32``, durations ``double``."""

OpcUaDatatype = Literal[OpcUaScalar, "structure"]

_NUMBERS = frozenset(
    {
        "sbyte",
        "byte",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float",
        "double",
    }
)

SecurityPolicyName = Literal[
    "None",
    "Basic256Sha256",
    "Aes128Sha256RsaOaep",
    "Aes256Sha256RsaPss",
    "Basic256",
    "Basic128Rsa15",
]


class OpcUaConnection(Document):
    """How an OPC UA server is reached, and who we are to it."""

    url: Annotated[str, StringConstraints(pattern=r"^opc\.tcp://[^/@\s]+(/\S*)?$")]
    """The server's endpoint: ``opc.tcp://plc.line1:4840/path``. Host and port are used as written
    here, whatever host names the server's own list of endpoints has."""
    timeout_s: float = Field(default=5.0, gt=0, le=120)
    """How long each request may take."""

    security_policy: SecurityPolicyName = "None"
    """``Basic256`` and ``Basic128Rsa15`` are broken and only there for old servers."""
    security_mode: Literal["None", "Sign", "SignAndEncrypt"] | None = None
    """``SignAndEncrypt`` when absent, ``None`` with the policy ``None``."""
    username: str | None = None
    """Who signs in; anonymous when neither this nor a user certificate is set."""
    password_env: str | None = None
    """Environment variable with the password."""
    password_file: Path | None = None
    """File whose first line is the password."""
    user_cert_file: Path | None = None
    """PEM or DER certificate of the user, to sign in with instead of a password."""
    user_key_file: Path | None = None
    """PEM key of ``user_cert_file``, not encrypted."""

    pki_dir: Path = Path(".nexus/opcua")
    """Where the client's own certificate is made and renewed, and trusted servers are kept:
    ``own/client.der``, ``own/client.pem``, ``trusted/``, ``rejected/``."""
    cert_file: Path | None = None
    """PEM or DER certificate of this client, where it is not to be made."""
    key_file: Path | None = None
    """PEM key of ``cert_file``, not encrypted."""
    application_uri: str = "urn:nexus-edge:opcua-client"
    """Must be in the client's certificate; servers check it."""
    trust: Literal["first-use", "list", "any"] = "first-use"
    """``first-use`` keeps the first certificate a server shows and refuses another one later;
    ``list`` wants it in ``trusted/`` beforehand; ``any`` trusts whatever comes, for trials."""

    shared: bool = True
    """Devices of one server whose settings are the same here, but for ``timestamps`` and
    ``recheck_s``, share one session."""
    max_sessions: int | None = Field(default=None, ge=1, le=10_000)
    """Most sessions that this node has with the server's host and port at once; a device that would
    need one more is offline and says so."""
    session_name: str = "nexus-edge"
    """How the server lists this client's session."""
    session_timeout_s: float = Field(default=60.0, ge=5, le=86_400)
    """How long the server keeps the session while it hears nothing."""
    watchdog_s: float = Field(default=10.0, ge=1, le=3600)
    """After this long without any message from the server it is asked whether it is there; data
    that arrive count as a sign of life."""
    recheck_s: float = Field(default=60.0, ge=0, le=86_400)
    """How often nodes that were silent are read, to find those that were deleted and made again;
    0 for never."""

    timestamps: Literal["source", "server", "edge"] = "source"
    """Whose time values have: of where they were acquired, of the server, or of this node's
    clock when they arrive, for servers whose clocks are wrong."""
    profile: Literal["auto", "default", "s7-1200", "s7-1500", "ignition", "kepware"] = "auto"
    """What the server can take; ``auto`` judges by what the server says of itself."""
    max_items_per_request: int | None = Field(default=None, ge=1, le=100_000)
    """Most nodes in one request, instead of the profile's and the server's own limit."""

    @model_validator(mode="after")
    def _check_security(self) -> Self:
        mode = self.mode
        if (self.security_policy == "None") != (mode == "None"):
            raise ValueError(
                f"security_mode is {mode!r} with security_policy {self.security_policy!r},"
                " expected both 'None' or neither"
            )
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together, found only one of them")
        if (self.user_cert_file is None) != (self.user_key_file is None):
            raise ValueError("user_cert_file and user_key_file go together, found only one of them")
        return self

    @model_validator(mode="after")
    def _check_user(self) -> Self:
        if self.password_env is not None and self.password_file is not None:
            raise ValueError("password_env and password_file are both set, expected one of them")
        has_password = self.password_env is not None or self.password_file is not None
        if (self.username is not None) != has_password:
            raise ValueError("username goes with password_env or password_file")
        if self.username is not None and self.user_cert_file is not None:
            raise ValueError("username and user_cert_file are both set, expected one of them")
        return self

    @property
    def mode(self) -> Literal["None", "Sign", "SignAndEncrypt"]:
        """The security mode that is wanted."""
        if self.security_mode is not None:
            return self.security_mode
        return "None" if self.security_policy == "None" else "SignAndEncrypt"


class OpcUaGroup(PollGroup):
    """Tags that the server tells of together, or that are polled together."""

    mode: Literal["subscribe", "poll"] = "subscribe"
    """Whether the server tells changes each ``interval_s``, or is asked each ``interval_s``."""
    sampling_interval_s: float | None = Field(default=None, ge=0, le=86_400)
    """How often the server looks at its values; ``interval_s`` when absent, 0 for as fast as it
    can."""
    queue_size: int | None = Field(default=None, ge=1, le=10_000)
    """Changes of one tag that the server keeps from one message to the next; enough for its
    sampling when absent."""


class OpcUaField(Document):
    """One field of a structure, or one argument of a method."""

    name: str = Field(min_length=1)
    datatype: OpcUaScalar
    array: bool = False


class OpcUaTag(Tag):
    """A variable of an OPC UA server, or a method."""

    address: str = Field(min_length=1)
    """Which node: ``ns=2;s=Press.Temp``; ``nsu=urn:plant:press;s=Press.Temp``, which survives
    another order of the server's namespaces; ``i=2258``; or a path of browse names from the root,
    ``/Objects/2:Press/2:Temp`` or ``/Objects/{urn:plant:press}Press/{urn:plant:press}Temp``."""
    datatype: OpcUaDatatype
    array: bool = False
    """The value is an array; of several dimensions row after row."""
    publish_as: Literal["dataset", "template"] = "dataset"
    """How a structure is published: one row of a data set, or a template instance."""
    structure: str | None = None
    """Name of the template of a structure that is published as one."""
    fields: tuple[OpcUaField, ...] = ()
    """The structure's fields in their order; needed where it is published as a template, since the
    node's birth defines it before any server was reached. Or the arguments of a ``method`` with
    several."""
    method: str | None = None
    """Node id of a method of the object at ``address``. Writing the tag calls it with what is
    written: as its argument, as its arguments with ``fields``, or without any where
    ``method_takes`` says so."""
    method_takes: Literal["value", "nothing"] = "value"
    """``nothing``: a bool tag, written true, calls the method."""
    method_gives: str | None = Field(default=None, min_length=1)
    """Name of an output argument of ``method``, or its number from 1: the tag is read only and has
    what that argument was when the method was last called by a tag of this device."""
    sampling_interval_s: float | None = Field(default=None, ge=0, le=86_400)
    """Instead of the group's."""
    report: Literal["status", "value", "timestamp"] = "value"
    """What the server tells: changes of the status alone, of status or value, or of the time as
    well."""
    server_deadband: bool = True
    """The deadband is applied by the server, where it can."""
    read_back: bool = False
    """After a write the node must hold what was written, else the write counts as refused."""

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        if self.datatype not in _NUMBERS:
            if self.is_scaled:
                raise ValueError(f"scale and offset do not apply to datatype {self.datatype!r}")
            if self.deadband or self.deadband_percent:
                raise ValueError(f"deadband does not apply to datatype {self.datatype!r}")
        if self.array and self.datatype == "bytestring":
            raise ValueError("arrays of bytestring have no Sparkplug type")
        return self

    @model_validator(mode="after")
    def _check_structure(self) -> Self:
        is_template = self.publish_as == "template"
        if is_template != (self.structure is not None) or (is_template and not self.fields):
            raise ValueError(
                "publish_as 'template', structure and fields go together: what the template is"
                " called and has"
            )
        if is_template and (self.array or self.method is not None):
            raise ValueError(
                "publish_as is 'template', expected 'dataset' for arrays of structures and methods"
            )
        if self.fields and self.datatype != "structure":
            raise ValueError(f"fields do not apply to datatype {self.datatype!r}")
        if is_template and self.datatype != "structure":
            raise ValueError(f"publish_as does not apply to datatype {self.datatype!r}")
        return self

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        if self.method is None:
            if self.method_takes != "value":
                raise ValueError("method_takes is 'nothing' and method is missing")
            if self.method_gives is not None:
                raise ValueError(f"method_gives is {self.method_gives!r} and method is missing")
            return self
        if self.read_back:
            raise ValueError("read_back is true, and what calls a method is not read")
        if self.method_gives is not None:
            if self.writable or self.fields or self.method_takes != "value":
                raise ValueError(
                    "method_gives goes with what a method gives back, found writable, fields or"
                    " method_takes, which go with its call"
                )
            return self
        if not self.writable:
            raise ValueError("a method is called by writing the tag, expected writable = true")
        if self.method_takes == "nothing" and self.datatype != "bool":
            raise ValueError(
                f"datatype is {self.datatype!r}, expected bool for a method that takes nothing"
            )
        if self.datatype == "structure" and not self.fields:
            raise ValueError("fields are missing, expected the method's arguments")
        return self


class OpcUaDevice(Device):
    """An OPC UA server, or part of one."""

    driver: Literal["opcua"]
    connection: OpcUaConnection
    poll_groups: tuple[OpcUaGroup, ...] = Field(default=(OpcUaGroup(name="default"),), min_length=1)
    """``[[devices.poll_groups]]``; one named ``default``, each second, where there is none."""
    tags: tuple[OpcUaTag, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        check_tags(self.tags, self.poll_groups)
        return self
