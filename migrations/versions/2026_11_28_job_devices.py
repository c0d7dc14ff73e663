"""Devices beside the first one that a search is for, with their budgets and tables.

Revision ID: 2026_11_28_job_devices
Revises: 2026_11_27_quarantine
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_28_job_devices"
down_revision = "2026_11_27_quarantine"
branch_labels = None
depends_on = None

TABLE = "job_devices"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("budget_ms", sa.Double(), nullable=False),
        sa.Column("table_id", sa.String(length=32), nullable=True),
        _reference("job_id", "jobs"),
        _reference("device_id", "devices"),
        _reference("table_id", "latency_tables"),
        sa.PrimaryKeyConstraint("job_id", "place", name=op.f(f"pk_{TABLE}")),
    )
    op.create_index(op.f(f"ix_{TABLE}_device_id"), TABLE, ["device_id"])


def downgrade() -> None:
    op.drop_table(TABLE)


def _reference(column: str, table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{TABLE}_{column}_{table}")
    return sa.ForeignKeyConstraint([column], [f"{table}.id"], name=name)
