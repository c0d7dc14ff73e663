"""Data sets: the built-in one, and those that people register by their path on the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from search.requests import DatasetRef
from search.space.task import TaskShape
from service.datasets import repository
from service.datasets.inspection import DIGITS_TASK, inspect_dataset
from service.errors import ConflictError, NotFoundError, invalid_field, public_message
from service.tables.base import new_id
from service.tables.dataset import DatasetRow

BUILT_IN = "digits"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set and what it asks of a network."""

    name: str
    format: str
    path: str
    task: TaskShape

    @property
    def is_built_in(self) -> bool:
        """Whether it comes with the product."""
        return self.format == BUILT_IN

    @property
    def ref(self) -> DatasetRef:
        """What the trainer is told."""
        if self.is_built_in:
            return DatasetRef(format=BUILT_IN)
        return DatasetRef(format=self.format, path=self.path, image_size=self.task.image_size)


DIGITS = Dataset(name=BUILT_IN, format=BUILT_IN, path="", task=DIGITS_TASK)


def find_dataset(session: Session, name: str) -> Dataset:
    """Return the data set with this name.

    Raises:
        NotFoundError: there is none; the message lists the names that there are.
    """
    if name == BUILT_IN:
        return DIGITS
    row = repository.dataset_by_name(session, name)
    if row is None:
        known = ", ".join(dataset.name for dataset in list_datasets(session, limit=20, offset=0))
        raise NotFoundError(f"There is no such data set. Known data sets: {known}.")
    return _dataset(row)


def list_datasets(session: Session, *, limit: int, offset: int) -> Sequence[Dataset]:
    """Return a page of the data sets; the built-in one is the first of all."""
    built_in = [DIGITS] if offset == 0 else []
    rows = repository.datasets_by_name(session, limit - len(built_in), max(0, offset - 1))
    return built_in + [_dataset(row) for row in rows]


def inspect_for_registration(
    form: str, path: str, image_size: int | None, roots: Sequence[Path]
) -> TaskShape:
    """Return the task of a data set that somebody wants to register.

    Raises:
        InvalidValueError: outside the allowed folders, or not a data set of this form.
    """
    if not Path(path).is_absolute():
        raise invalid_field("/path", "A path on the server begins with a slash")
    resolved = _resolved(path)
    if roots and not any(resolved.is_relative_to(root.resolve()) for root in roots):
        allowed = ", ".join(str(root) for root in roots)
        raise invalid_field("/path", f"Data sets may be registered below: {allowed}")
    try:
        return inspect_dataset(form, resolved, image_size)
    except ValueError as error:
        pointer = "/image_size" if "image_size" in str(error) else "/path"
        raise invalid_field(pointer, public_message(error)) from error


def register_dataset(
    session: Session, name: str, form: str, path: str, task: TaskShape, now: datetime
) -> Dataset:
    """Register a data set under a name of its own.

    Raises:
        ConflictError: the name is taken.
    """
    if name == BUILT_IN or repository.dataset_by_name(session, name) is not None:
        raise ConflictError("There is a data set of this name already.", code="name-taken")
    row = DatasetRow(
        id=new_id(),
        name=name,
        format=form,
        path=str(_resolved(path)),
        image_channels=task.image_channels,
        image_size=task.image_size,
        classes=task.classes,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return _dataset(row)


def _resolved(path: str) -> Path:
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError) as error:  # a name too long, a circle of links
        raise invalid_field("/path", "This path leads nowhere") from error


def _dataset(row: DatasetRow) -> Dataset:
    task = TaskShape(
        image_channels=row.image_channels, image_size=row.image_size, classes=row.classes
    )
    return Dataset(name=row.name, format=row.format, path=row.path, task=task)
