"""/v1/datasets: what searches can be run on."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.access.policy import Operator
from service.context import Context
from service.datasets import use_cases
from service.datasets.schemas import DatasetCreate, DatasetRead
from service.shapes import Limit, Offset, ShortName

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.post("", status_code=201)
def register_dataset(context: Context, _principal: Operator, request: DatasetCreate) -> DatasetRead:
    """Register a data set by its path on the server."""
    task = use_cases.inspect_for_registration(
        request.format, request.path, request.image_size, context.settings.dataset_roots
    )
    with context.database.transaction() as session:
        found = use_cases.register_dataset(
            session, request.name, request.format, request.path, task, context.clock()
        )
    return _read(found)


@router.get("")
def list_datasets(
    context: Context,
    _principal: Operator,
    limit: Annotated[Limit, Query()] = 100,
    offset: Annotated[Offset, Query()] = 0,
) -> list[DatasetRead]:
    """Return the data sets by name, the built-in one first."""
    with context.database.reading() as session:
        found = use_cases.list_datasets(session, limit=limit, offset=offset)
    return [_read(dataset) for dataset in found]


@router.get("/{name}")
def get_dataset(context: Context, _principal: Operator, name: ShortName) -> DatasetRead:
    """Return one data set."""
    with context.database.reading() as session:
        return _read(use_cases.find_dataset(session, name))


def _read(dataset: use_cases.Dataset) -> DatasetRead:
    return DatasetRead(
        name=dataset.name,
        format=dataset.format,
        path=dataset.path,
        built_in=dataset.is_built_in,
        image_channels=dataset.task.image_channels,
        image_size=dataset.task.image_size,
        classes=dataset.task.classes,
    )
