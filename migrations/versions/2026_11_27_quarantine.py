"""Measurements that are kept and never used: a reason, and what it is judged by; withdrawn tables.

Revision ID: 2026_11_27_quarantine
Revises: 2026_11_24_library_regime
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_27_quarantine"
down_revision = "2026_11_24_library_regime"
branch_labels = None
depends_on = None

MEASUREMENTS = ("measurements", "network_measurements")


def upgrade() -> None:
    for table in MEASUREMENTS:
        op.add_column(table, sa.Column("quarantine", sa.Text(), nullable=False, server_default=""))
        op.add_column(table, sa.Column("reference_ns", sa.BigInteger(), nullable=True))
        op.create_index(op.f(f"ix_{table}_device_id"), table, ["device_id"])
    op.add_column(
        "measurements", sa.Column("unstable", sa.Text(), nullable=False, server_default="")
    )
    op.add_column("chunks", sa.Column("conditions_after", sa.Text(), nullable=True))
    op.add_column("latency_tables", sa.Column("timed_by", sa.String(length=32), nullable=True))
    op.add_column(
        "latency_tables", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True)
    )


def downgrade() -> None:
    op.drop_column("latency_tables", "withdrawn_at")
    op.drop_column("latency_tables", "timed_by")
    op.drop_column("chunks", "conditions_after")
    op.drop_column("measurements", "unstable")
    for table in MEASUREMENTS:
        op.drop_index(op.f(f"ix_{table}_device_id"), table_name=table)
        op.drop_column(table, "reference_ns")
        op.drop_column(table, "quarantine")
