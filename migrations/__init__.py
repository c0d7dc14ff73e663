"""Alembic migrations of the service's database; files are named by date and slug."""
