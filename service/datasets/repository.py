"""Queries on data sets."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.tables.dataset import DatasetRow


def dataset_by_name(session: Session, name: str) -> DatasetRow | None:
    """Return the registered data set with this name."""
    return session.scalar(select(DatasetRow).where(DatasetRow.name == name))


def datasets_by_name(session: Session, limit: int, offset: int) -> Sequence[DatasetRow]:
    """Return a page of the registered data sets."""
    statement = select(DatasetRow).order_by(DatasetRow.name).limit(limit).offset(offset)
    return session.scalars(statement).all()
