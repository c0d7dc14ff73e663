"""Tables know networks that the operator library executes: a calibration and an error of their own.

Revision ID: 2026_11_24_library_regime
Revises: 2026_11_23_first_tables
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_library_regime"
down_revision = "2026_11_23_first_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("latency_tables", sa.Column("library_calibration", sa.Text(), nullable=True))
    op.add_column("latency_tables", sa.Column("library_error", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("latency_tables", "library_error")
    op.drop_column("latency_tables", "library_calibration")
