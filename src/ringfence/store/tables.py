"""The tables as they are now. `migrations/` says how they came to be; a test holds the two together."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table

metadata = MetaData()

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("hint", String(4), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("profile", String(100), nullable=False),
    Column("requests_per_minute", Integer),
    Column("tokens_per_minute", BigInteger),
    Column("created_s", BigInteger, nullable=False),
    Column("expires_s", BigInteger),
    Column("revoked_s", BigInteger),
    Column("agent", String(100), nullable=False, server_default=""),
)

usage = Table(
    "usage",
    metadata,
    Column("key_id", String(64), primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
)

parked = Table(
    "parked",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("key_id", String(64), nullable=False),
    Column("profile", String(100), nullable=False),
    Column("boundary", Integer, nullable=False),
    Column("urgency", Integer, nullable=False),
    Column("model", String(200), nullable=False),
    Column("dialect", String(32), nullable=False),
    Column("agent", String(100), nullable=False),
    Column("named", String(100), nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("body_bytes", Integer, nullable=False),
    Column("ticketed", Boolean, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("parked_s", Float, nullable=False),
    Column("deadline_s", Float, nullable=False),
    Column("ended_s", Float),
    Column("status", Integer),
    Column("seal_key", String(16), nullable=False),
    Column("body", LargeBinary),
    Column("result", LargeBinary),
)

footprints = Table(
    "footprints",
    metadata,
    Column("engine", String(32), primary_key=True),
    Column("build", String(100), primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("window", Integer, primary_key=True),
    Column("parallel", Integer, primary_key=True),
    Column("quantisation", String(64), primary_key=True),
    Column("kv_type", String(64), primary_key=True),
    Column("device", String(200), primary_key=True),
    Column("architecture", String(100), nullable=False),
    Column("predicted_bytes", BigInteger),
    Column("peak_bytes", BigInteger, nullable=False),
    Column("before_bytes", BigInteger, nullable=False),
    Column("loads", Integer, nullable=False),
    Column("seen_s", Float, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(100), nullable=False),
    Column("device", String(200), nullable=False),
    Column("leased_bytes", BigInteger, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("is_recalled", Boolean, nullable=False),
    Column("ttl_s", Float, nullable=False),
    Column("pid", Integer),
    Column("started", String(64), nullable=False),
    Column("is_watched", Boolean, nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("key_id", String(64), nullable=False, index=True),
    Column("purpose", String(32), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("boundary", Integer, nullable=False),
    Column("created_s", Float, nullable=False),
    Column("expires_s", Float, nullable=False),
    Column("is_whole", Boolean, nullable=False),
    Column("seal_key", String(16), nullable=False),
)

file_parts = Table(
    "file_parts",
    metadata,
    Column("file_number", Integer, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("size_bytes", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("key_id", String(64), nullable=False, index=True),
    Column("profile", String(100), nullable=False),
    Column("boundary", Integer, nullable=False),
    Column("agent", String(100), nullable=False),
    Column("named", String(100), nullable=False),
    Column("labels", String(1000), nullable=False),
    Column("endpoint", String(100), nullable=False),
    Column("input_file_id", String(40), nullable=False),
    Column("output_file_id", String(40), nullable=False),
    Column("error_file_id", String(40), nullable=False),
    Column("completion_window", String(16), nullable=False),
    Column("keep_s", Float, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("created_s", Float, nullable=False),
    Column("expires_s", Float, nullable=False),
    Column("times", String(1000), nullable=False),
    Column("errors", String, nullable=False),
    Column("total", Integer, nullable=False),
    Column("completed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("seal_key", String(16), nullable=False),
    Column("terms", LargeBinary, nullable=False),
    Column("model", String(200), nullable=False, server_default=""),
    Column("input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cached_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("reasoning_tokens", BigInteger, nullable=False, server_default="0"),
)

responses = Table(
    "responses",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("key_id", String(64), nullable=False),
    Column("boundary", Integer, nullable=False),
    Column("model", String(200), nullable=False),
    Column("created_s", Float, nullable=False),
    Column("expires_s", Float, nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
)
