"""How many profiles of a device in a row agreed with what is known of its target.

Revision ID: 2026_11_28_device_trust
Revises: 2026_11_28_job_devices
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_28_device_trust"
down_revision = "2026_11_28_job_devices"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("agreed", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("devices", "agreed")
