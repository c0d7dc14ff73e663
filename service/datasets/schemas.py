"""JSON shapes of data sets."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from service.shapes import PRINTABLE, ReadShape, RequestShape, ShortName


class DatasetCreate(RequestShape):
    """A data set on the server's disk, to be read in place."""

    name: ShortName
    format: Literal["cifar10-binary", "cifar10-python", "image-folder", "npz"]
    path: Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=PRINTABLE)]
    image_size: Annotated[int | None, Field(ge=8, le=512, multiple_of=4)] = None


class DatasetRead(ReadShape):
    """A data set and what it asks of a network."""

    name: str
    format: str
    path: str
    built_in: bool
    image_channels: int
    image_size: int
    classes: int
