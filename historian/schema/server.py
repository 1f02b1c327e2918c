"""What kind of database server this is, as far as the historian behaves differently on it."""

from dataclasses import dataclass
from typing import Literal

Edition = Literal["timescaledb", "timescaledb-apache", "postgresql"]

OLDEST_POSTGRES = 140_000


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A server and what it offers.

    Attributes:
        edition: TimescaleDB Community, its Apache edition, or PostgreSQL alone.
        postgres: version of PostgreSQL, such as ``17.2``.
        timescale: version of TimescaleDB, where there is one.
        direct_compress: whether COPY can write the columnstore straight away.
        continuous_aggregates: whether the server makes the rollups of what comes in time.
    """

    edition: Edition
    postgres: str
    timescale: str | None = None
    direct_compress: bool = False
    continuous_aggregates: bool = False

    @property
    def samples_are(self) -> str:
        """How the sample table is laid out, in words."""
        return "partitions" if self.edition == "postgresql" else "hypertable"
