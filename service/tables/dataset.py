"""DatasetRow: a data set that a user registered; built-in ones are not stored."""

from sqlalchemy.orm import Mapped, mapped_column

from service.tables.base import Id, LongText, Name, Row, Time, Word, new_id


class DatasetRow(Row):
    """A data set, read in place."""

    __tablename__ = "datasets"

    id: Mapped[Id] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[Name] = mapped_column(unique=True)
    format: Mapped[Word]
    path: Mapped[LongText]
    image_channels: Mapped[int]
    image_size: Mapped[int]  # pixels on each side
    classes: Mapped[int]
    created_at: Mapped[Time]
