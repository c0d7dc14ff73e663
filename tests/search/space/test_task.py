import pytest

from search.space.task import TaskShape


def test_input_shape_is_channels_height_width() -> None:
    assert TaskShape(image_channels=3, image_size=32, classes=10).input_shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("channels", "size", "classes", "named"),
    [(0, 16, 10, "image_channels"), (1, 18, 10, "image_size"), (1, 4, 10, "image_size"),
     (1, 16, 1, "classes"), (1, 2048, 10, "image_size")],
)  # fmt: skip
def test_bad_task_names_the_field(channels: int, size: int, classes: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        TaskShape(image_channels=channels, image_size=size, classes=classes)
