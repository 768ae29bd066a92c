"""Every setting, in one class. Read only by main, cli and worker; everyone else is handed values.

Each field is the environment variable `CLICKTRAIL_<NAME>`; docs/settings.md lists them and a test
compares the two.
"""

import re
from ipaddress import ip_network
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

#: First parts of paths that something else answers.
TAKEN = frozenset(("c", "v1", "postback", "healthz", "readyz", "metrics", "docs"))

HOST = re.compile(r"(?!-)[\w-]{1,63}(?<!-)(\.(?!-)[\w-]{1,63}(?<!-))*")


class Settings(BaseSettings):
    """What an operator may set. The defaults run on one small machine with nothing else installed."""

    model_config = SettingsConfigDict(env_prefix="CLICKTRAIL_", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address the web process listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the web process listens on.")
    web_processes: int = Field(
        1, ge=1, le=64, description="Web processes; more than one helps only with cores to spare."
    )
    data: Path = Field(Path("data"), description="Folder of the database, the inbox and the snapshot.")
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in the data folder.")
    admin_key: SecretStr | None = Field(
        None, description="The first workspace's admin key (at least 32 characters), for unattended starts."
    )
    public_url: str = Field("", description="The address visitors see; empty: taken from the request.")
    inbox_limit_bytes: int = Field(
        2 * 2**30,
        ge=2**20,
        description="Accept nothing more while the inbox holds this much; ever fewer kinds before.",
    )
    segment_bytes: int = Field(64 * 2**20, ge=2**16, description="Size at which an inbox file is rotated.")
    disk_reserve_bytes: int = Field(
        64 * 2**20,
        ge=0,
        description="Kept free on the data disk for what matters most: the less is left, the fewer kinds.",
    )
    country_header: str = Field(
        "", description="Header of a trusted proxy that holds the visitor's country (CF-IPCountry)."
    )
    geoip: Path | None = Field(None, description="An .mmdb file with countries; none is shipped.")
    trusted_proxies: str = Field(
        "", description="Comma-separated networks whose X-Forwarded-For is believed."
    )
    batch: int = Field(4000, ge=1, le=100_000, description="Records the pipeline takes at a time.")
    retention_months: int = Field(
        25,
        ge=0,
        le=1200,
        description="Whole months of raw events kept; older ones go; 0: all stay.",
    )
    rejected_days: int = Field(
        90,
        ge=0,
        le=36_500,
        description="Days that refused and quarantined records are kept, replayed or not; 0: all stay.",
    )
    audit_days: int = Field(
        0, ge=0, le=36_500, description="Days that the log of changes is kept; 0: all of it stays."
    )
    drain_seconds: float = Field(2.0, ge=0, description="How long a stopping web process serves on.")
    request_seconds: float = Field(
        15.0,
        gt=0,
        description="How long a client may take to send one request, or to read 64 KiB of an answer.",
    )
    keep_alive_seconds: int = Field(
        75, ge=1, description="How long an idle connection stays open; let proxies close theirs before that."
    )
    tag_name: str = Field(
        "c.js", description="File name of the tag; `c.js` is answered too. Every snippet shown follows."
    )
    collect_path: str = Field(
        "/collect", description="Path that the tag sends to; `/collect` is answered too."
    )
    check_hosts: str = Field(
        "", description="Comma-separated host names and networks that `/v1/check` may ask, internal or not."
    )
    docs: bool = Field(False, description="Serve /docs and /openapi.json.")
    log_level: str = Field("info", description="debug, info, warning or error.")
    log_pretty: bool = Field(False, description="Readable text instead of JSON lines.")

    @field_validator("admin_key")
    @classmethod
    def long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return value

    @field_validator("tag_name")
    @classmethod
    def a_script(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}\.js", value):
            raise ValueError("must be a file name such as stats.js: letters, digits, - and _ before .js")
        return value

    @field_validator("check_hosts")
    @classmethod
    def places(cls, value: str) -> str:
        for said in filter(None, (part.strip() for part in value.split(","))):
            try:
                ip_network(said)
            except ValueError:
                if not HOST.fullmatch(said) or re.search(r"(^|\.)(\d+|0x[0-9a-f]*)$", said, re.IGNORECASE):
                    raise ValueError(f"{said} is neither a host name nor a network (10.0.0.0/8)") from None
        return value

    @field_validator("collect_path")
    @classmethod
    def free(cls, value: str) -> str:
        if not re.fullmatch(r"(/[A-Za-z0-9][A-Za-z0-9_-]{0,39}){1,3}", value):
            raise ValueError("must be a path such as /in or /api/in: letters, digits, - and _")
        if value.split("/")[1] in TAKEN:
            raise ValueError(f"/{value.split('/')[1]} is a path of ours: choose another")
        return value

    @property
    def tags(self) -> Path:
        return self.data / "tags"

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data / 'clicktrail.db'}"

    @property
    def inbox(self) -> Path:
        return self.data / "inbox"

    @property
    def snapshot(self) -> Path:
        return self.data / "config.snapshot"
