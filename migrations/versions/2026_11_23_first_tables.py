"""First tables."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_first_tables"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLES = (
    "targets",
    "devices",
    "tokens",
    "latency_tables",
    "jobs",
    "job_events",
    "artifacts",
    "job_artifacts",
    "datasets",
    "work_units",
    "leases",
    "chunks",
    "measurements",
    "latency_table_measurements",
    "network_measurements",
    "worker_leases",
)  # in an order in which each finds those that it refers to


def upgrade() -> None:
    _create_devices()
    _create_jobs()
    _create_files()
    _create_work_units()
    _create_leases()
    _create_measurements()
    _create_table_measurements()
    _create_network_measurements()
    _create_workers()


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name)


def _create_devices() -> None:
    op.create_table(
        "targets",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_targets")),
    )
    op.create_table(
        "devices",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("target_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("agent_version", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        _reference("devices", "target_fingerprint", "targets.fingerprint"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("name", name=op.f("uq_devices_name")),
    )
    op.create_index(op.f("ix_devices_target_fingerprint"), "devices", ["target_fingerprint"])
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        _reference("tokens", "device_id", "devices.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_tokens_sha256")),
    )
    op.create_index(op.f("ix_tokens_device_id"), "tokens", ["device_id"])


def _create_jobs() -> None:
    op.create_table(
        "latency_tables",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("target_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("operators", sa.Integer(), nullable=False),
        sa.Column("calibration", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("networks", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _reference("latency_tables", "target_fingerprint", "targets.fingerprint"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_latency_tables")),
        sa.UniqueConstraint(
            "target_fingerprint",
            "version",
            name=op.f("uq_latency_tables_target_fingerprint_version"),
        ),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("table_id", sa.String(length=32), nullable=True),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        _reference("jobs", "device_id", "devices.id"),
        _reference("jobs", "table_id", "latency_tables.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_created_at"), "jobs", ["created_at"])
    op.create_index(op.f("ix_jobs_device_id"), "jobs", ["device_id"])
    op.create_index(op.f("ix_jobs_state_created_at"), "jobs", ["state", "created_at"])
    op.create_table(
        "job_events",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _reference("job_events", "job_id", "jobs.id"),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_job_events")),
    )


def _create_files() -> None:
    op.create_table(
        "artifacts",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_artifacts")),
    )
    op.create_table(
        "job_artifacts",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        _reference("job_artifacts", "job_id", "jobs.id"),
        _reference("job_artifacts", "sha256", "artifacts.sha256"),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_job_artifacts")),
    )
    op.create_index(op.f("ix_job_artifacts_sha256"), "job_artifacts", ["sha256"])
    op.create_table(
        "datasets",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("format", sa.String(length=32), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("image_channels", sa.Integer(), nullable=False),
        sa.Column("image_size", sa.Integer(), nullable=False),
        sa.Column("classes", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
        sa.UniqueConstraint("name", name=op.f("uq_datasets_name")),
    )


def _create_work_units() -> None:
    op.create_table(
        "work_units",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("work", sa.Text(), nullable=False),
        sa.Column("artifact_sha256", sa.String(length=64), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        _reference("work_units", "artifact_sha256", "artifacts.sha256"),
        _reference("work_units", "device_id", "devices.id"),
        _reference("work_units", "job_id", "jobs.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_units")),
    )
    op.create_index(
        op.f("ix_work_units_device_id_state_created_at"),
        "work_units",
        ["device_id", "state", "created_at"],
    )
    op.create_index(op.f("ix_work_units_job_id"), "work_units", ["job_id"])


def _create_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("unit_id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("claim_id", sa.String(length=200), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("target_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("work", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        _reference("leases", "device_id", "devices.id"),
        _reference("leases", "target_fingerprint", "targets.fingerprint"),
        _reference("leases", "unit_id", "work_units.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leases")),
        sa.UniqueConstraint("device_id", "claim_id", name=op.f("uq_leases_device_id_claim_id")),
        sa.UniqueConstraint("unit_id", "attempt", name=op.f("uq_leases_unit_id_attempt")),
    )
    op.create_index(op.f("ix_leases_state_expires_at"), "leases", ["state", "expires_at"])
    op.create_table(
        "chunks",
        sa.Column("lease_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("measurements", sa.Integer(), nullable=False),
        sa.Column("conditions", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _reference("chunks", "lease_id", "leases.id"),
        sa.PrimaryKeyConstraint("lease_id", "position", name=op.f("pk_chunks")),
    )


def _create_measurements() -> None:
    op.create_table(
        "measurements",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("unit_id", sa.String(length=32), nullable=False),
        sa.Column("lease_id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("target_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("spec_key", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("samples", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("measured_at", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        _reference("measurements", "device_id", "devices.id"),
        _reference("measurements", "lease_id", "leases.id"),
        _reference("measurements", "target_fingerprint", "targets.fingerprint"),
        _reference("measurements", "unit_id", "work_units.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_measurements")),
    )
    op.create_index(
        op.f("ix_measurements_target_fingerprint_spec_key"),
        "measurements",
        ["target_fingerprint", "spec_key"],
    )
    op.create_index(
        op.f("ix_measurements_unit_id_lease_id"), "measurements", ["unit_id", "lease_id"]
    )


def _create_table_measurements() -> None:
    op.create_table(
        "latency_table_measurements",
        sa.Column("table_id", sa.String(length=32), nullable=False),
        sa.Column("measurement_id", BIG_ID, nullable=False),
        _reference("latency_table_measurements", "measurement_id", "measurements.id"),
        _reference("latency_table_measurements", "table_id", "latency_tables.id"),
        sa.PrimaryKeyConstraint(
            "table_id", "measurement_id", name=op.f("pk_latency_table_measurements")
        ),
    )


def _create_network_measurements() -> None:
    op.create_table(
        "network_measurements",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("unit_id", sa.String(length=32), nullable=False),
        sa.Column("lease_id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("target_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("measurement", sa.Text(), nullable=False),
        sa.Column("graph", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("measured_at", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        _reference("network_measurements", "device_id", "devices.id"),
        _reference("network_measurements", "lease_id", "leases.id"),
        _reference("network_measurements", "target_fingerprint", "targets.fingerprint"),
        _reference("network_measurements", "unit_id", "work_units.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_measurements")),
    )
    op.create_index(
        op.f("ix_network_measurements_target_fingerprint"),
        "network_measurements",
        ["target_fingerprint"],
    )
    op.create_index(
        op.f("ix_network_measurements_unit_id_name"), "network_measurements", ["unit_id", "name"]
    )


def _create_workers() -> None:
    op.create_table(
        "worker_leases",
        sa.Column("executor_id", sa.String(length=200), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("executor_id", name=op.f("pk_worker_leases")),
    )
    op.create_index(op.f("ix_worker_leases_expires_at"), "worker_leases", ["expires_at"])


def _reference(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_{column}_{other.partition('.')[0]}"
    return sa.ForeignKeyConstraint([column], [other], name=op.f(name))
