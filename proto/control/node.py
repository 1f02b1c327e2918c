"""An edge node's configuration: who it is, where it publishes, which devices it has."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from proto.control.broker import BrokerListDocument
from proto.control.devices import DeviceDocument
from proto.control.document import Document, SparkplugId
from proto.control.template import TemplateDocument

UnsSegment = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^/+#\x00$][^/+#\x00]*$")]

TopicPrefix = Annotated[str, StringConstraints(pattern=r"^[^/+#\x00]+(/[^/+#\x00]+)*$")]


class NodeIdentity(Document):
    """The ``[node]`` section."""

    group: SparkplugId
    """Sparkplug group id: first level of every topic after ``spBv1.0``."""
    edge: SparkplugId
    """Sparkplug edge node id; unique within its group."""
    state_dir: Path = Path(".nexus/edge")
    """Where the node keeps what outlives it (the birth/death sequence number)."""
    status_interval_s: float = Field(default=5.0, gt=0, le=3600)
    """How often the status document and the metrics below ``Node Info/`` are published."""
    topic_prefix: TopicPrefix = "$nexus"
    """First level of the suite's own topics; some brokers refuse a leading ``$``."""


class SparkplugDocument(Document):
    """The ``[sparkplug]`` section."""

    aliases: bool = True
    """Data messages carry numeric aliases in place of names."""
    primary_host: SparkplugId | None = None
    """Wait for this host's STATE before births, and go silent while it is offline."""
    batch_window_s: float = Field(default=0.1, ge=0, le=60)
    """Changes of one device within this window travel in one message."""
    uint32_as_long: bool = False
    """UInt32 travels in ``long_value``, as some hosts want it, not in ``int_value``, as the
    specification's table has it."""
    compression: Literal["none", "deflate", "gzip"] = "none"
    """Births and data are compressed, for thin links; the host must understand it."""
    max_payload_bytes: int = Field(default=1_000_000, ge=1024, le=268_435_455)
    """A birth larger than this is not sent. Brokers drop the connection over what is too large for
    them: EMQX takes 1 MiB unless told otherwise. With MQTT 5 the broker's own limit counts too."""
    start_delay_s: float = Field(default=0.0, ge=0, le=3600)
    """The first connection is made at a random moment within this time, so that many nodes that
    start together do not send their births together."""
    templates: Literal["flattened", "instances"] = "flattened"
    """Instances of templates are published as single metrics, or each as one Sparkplug template
    instance whose definition stands in the node's birth."""
    template_names: Literal["plain", "types-folder"] = "plain"
    """Definitions have the template's name, which instances refer to, as the specification's text
    wants it; or they stand in ``_types_/``, which the references leave out, as the samples of
    Eclipse Tahu have it."""
    allow_reboot: bool = False
    """Offer ``Node Control/Reboot``: a host may restart this process."""
    allow_next_server: bool = False
    """Offer ``Node Control/Next Server``: a host may send this node to its next broker."""


class UnsDocument(Document):
    """The ``[uns]`` section: the plain JSON mirror."""

    enabled: bool = True
    """Whether values are mirrored at all."""
    root: UnsSegment = "uns"
    """First level of the mirror's topics."""
    location: tuple[UnsSegment, ...] = Field(default=(), max_length=16)
    """Enterprise, site, area, line, … (ISA-95), as deep as the plant needs."""
    min_interval_s: float = Field(default=0.1, ge=0, le=3600)
    """At most one message a tag in this time; the latest value wins."""
    max_messages_per_s: int = Field(default=5_000, ge=1)
    """At most this many messages a second for all tags together; the latest values win."""
    qos: int = Field(default=0, ge=0, le=1)
    """MQTT quality of service of the values; ``_meta`` and ``_status`` always go with 1."""


class MetricsDocument(Document):
    """The ``[metrics]`` section."""

    port: int | None = Field(default=None, ge=0, le=65_535)
    """``/metrics`` for Prometheus, ``/healthz`` and ``/readyz`` are served on this TCP port; they
    are not without it. 0 takes a free port and logs it."""
    bind: str = "127.0.0.1"
    """Address that is listened on; nothing there asks who calls."""


class RemoteDocument(Document):
    """The ``[remote]`` section: what is taken over MQTT besides Sparkplug."""

    configuration: bool = False
    """Take devices on `<prefix>/config/devices/…`. Whoever may publish there has this node connect
    to any address and publish what it finds: let the broker grant it to few."""
    allowed_paths: tuple[Path, ...] = ()
    """Files, directories and serial ports of this machine that such devices may name; what is below
    a directory may be named too."""
    max_devices: int = Field(default=1000, ge=1, le=100_000)
    """At most this many devices are configured so."""
    commands: bool = False
    """Take writes as JSON on `<prefix>/cmd/…`. Whoever may publish there may write every writable
    tag: let the broker grant it to few."""


class NodeDocument(Document):
    """One edge node's TOML file."""

    node: NodeIdentity
    mqtt: BrokerListDocument = BrokerListDocument()
    sparkplug: SparkplugDocument = SparkplugDocument()
    uns: UnsDocument = UnsDocument()
    remote: RemoteDocument = RemoteDocument()
    metrics: MetricsDocument = MetricsDocument()
    templates: tuple[TemplateDocument, ...] = ()
    devices: tuple[DeviceDocument, ...] = ()

    @model_validator(mode="after")
    def _check_devices(self) -> Self:
        doubles = [n for n, count in Counter(d.name for d in self.devices).items() if count > 1]
        if doubles:
            raise ValueError(f"device names stand more than once: {', '.join(doubles)}")
        counted = Counter(template.name for template in self.templates)
        doubles = [name for name, count in counted.items() if count > 1]
        if doubles:
            raise ValueError(f"template names stand more than once: {', '.join(doubles)}")
        return self
