"""The base of every document: unknown keys are refused and nothing is repaired."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, StringConstraints


class Document(BaseModel):
    """A document as it stands in TOML, JSON or on MQTT."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=False, use_attribute_docstrings=True
    )


LOCAL: Final = "local"
"""Marks a text that names something of the machine that the edge node runs on."""

SparkplugId = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^/+#]+$")]
"""A group, edge node or device id: non-empty, without ``/``, ``+`` and ``#`` (Sparkplug 4.1)."""

TagName = Annotated[
    str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^/+#]+(/[^/+#]+)*$")
]
"""A tag's name; ``/`` makes folders, as in Sparkplug metric names."""
