"""Every format loads, and every kind of damage is named."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from search.data import digits
from search.data.datasets import load_dataset
from search.requests import DatasetRef
from tests.search.data.files import NAMES, archive, cifar_pixels

RNG = np.random.default_rng(0)


def load(kind: str, path: Path, size: int | None = None) -> Any:
    return load_dataset(DatasetRef(format=kind, path=str(path), image_size=size))


class TestDigits:
    def test_real_digits_are_upsampled_and_normalised(self) -> None:
        data = load_dataset(DatasetRef(format="digits"))
        assert data.train_images.shape == (1438, 1, 16, 16)
        assert data.test_images.shape == (359, 1, 16, 16)
        assert (data.task.classes, data.task.image_size) == (10, 16)
        assert float(data.train_images.mean()) == pytest.approx(0.0, abs=1e-4)
        assert float(data.train_images.std()) == pytest.approx(1.0, abs=1e-3)

    def test_split_is_stratified_fixed_and_disjoint(self) -> None:
        one, two = (load_dataset(DatasetRef(format="digits")) for _ in range(2))
        assert torch.equal(one.test_images, two.test_images)
        shares = torch.bincount(one.test_labels) / (
            torch.bincount(one.test_labels) + torch.bincount(one.train_labels)
        )
        assert bool(((shares - 0.2).abs() < 0.01).all())

    def test_nearest_neighbour_recognises_them(self) -> None:
        """Images and labels belong together: a plain classifier is right nearly always."""
        data = load_dataset(DatasetRef(format="digits", image_size=8))
        distances = torch.cdist(data.test_images.flatten(1), data.train_images.flatten(1))
        answers = data.train_labels[distances.argmin(dim=1)]
        assert float((answers == data.test_labels).float().mean()) > 0.95

    def test_without_the_library_that_brings_them_it_says_so(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(digits, "find_spec", lambda _: None)
        with pytest.raises(ValueError, match="digits come with scikit-learn"):
            load_dataset(DatasetRef(format="digits"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, count in (("train", 3), ("test", 2)):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8)
                suffix = "png" if index else "jpg"
                Image.fromarray(pixels).save(tmp_path / part / name / f"{index}.{suffix}")
    return tmp_path


class TestImageFolder:
    def test_classes_are_folders(self, folder: Path) -> None:
        data = load("image-folder", folder)
        assert data.class_names == ("cat", "dog")
        assert data.train_images.shape == (6, 3, 12, 12)
        assert data.test_labels.tolist() == [0, 0, 1, 1]

    def test_images_are_resized_on_request(self, folder: Path) -> None:
        Image.new("L", (30, 20)).save(folder / "test" / "cat" / "grey.png")
        assert load("image-folder", folder, 8).test_images.shape == (5, 3, 8, 8)

    def test_other_size_is_named(self, folder: Path) -> None:
        Image.new("RGB", (8, 12)).save(folder / "test" / "cat" / "odd.png")
        with pytest.raises(ValueError, match=r"odd\.png is 8x12, others are 12x12; give image_siz"):
            load("image-folder", folder)

    def test_corrupt_image_is_named(self, folder: Path) -> None:
        path = folder / "train" / "dog" / "1.png"
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(ValueError, match=r"dog/1\.png is not a readable image"):
            load("image-folder", folder)

    def test_classes_that_differ_are_named(self, folder: Path) -> None:
        (folder / "test" / "bird").mkdir()
        with pytest.raises(ValueError, match=r"other classes in train than in test: \['bird'\]"):
            load("image-folder", folder)

    def test_missing_parts_are_named(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="does not exist"):
            load("image-folder", tmp_path / "nowhere")
        with pytest.raises(ValueError, match="train is missing"):
            load("image-folder", folder / "train")
        for path in (folder / "train" / "cat").iterdir():
            path.unlink()
        with pytest.raises(ValueError, match="cat has no images"):
            load("image-folder", folder)


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    for name in NAMES:
        pixels, labels = cifar_pixels(10)
        (tmp_path / f"{name}.bin").write_bytes(np.hstack([labels[:, None], pixels]).tobytes())
    return tmp_path


@pytest.fixture
def batches(tmp_path: Path) -> Path:
    for name in NAMES:
        pixels, labels = cifar_pixels(10)
        values = {b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"x"}
        (tmp_path / name).write_bytes(pickle.dumps(values, protocol=2))
    return tmp_path


class Attack:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path.touch, ("unused",))


class TestCifar:
    def test_binary_layout(self, binary: Path) -> None:
        data = load("cifar10-binary", binary)
        assert data.train_images.shape == (50, 3, 32, 32)
        assert data.test_labels.tolist() == list(range(10))
        first = np.frombuffer((binary / "test_batch.bin").read_bytes(), np.uint8)[1:3073]
        scaled = first.reshape(3, 32, 32).astype(np.float32) / 255
        mean, std = (np.array(v)[:, None, None] for v in (data.mean, data.std))
        assert np.allclose(data.test_images[0].numpy(), (scaled - mean) / std, atol=1e-4)

    def test_truncated_binary_is_named(self, binary: Path) -> None:
        path = binary / "data_batch_3.bin"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(ValueError, match=r"data_batch_3\.bin is truncated: 30729 bytes"):
            load("cifar10-binary", binary)

    def test_a_pipe_is_not_waited_for(self, binary: Path) -> None:
        (binary / "data_batch_2.bin").unlink()
        os.mkfifo(binary / "data_batch_2.bin")
        with pytest.raises(ValueError, match=r"data_batch_2\.bin is no file"):
            load_dataset(DatasetRef(format="cifar10-binary", path=str(binary)))

    def test_missing_binary_is_named(self, binary: Path) -> None:
        (binary / "test_batch.bin").unlink()
        with pytest.raises(ValueError, match=r"test_batch\.bin cannot be read: No such file"):
            load("cifar10-binary", binary)

    def test_label_out_of_range_is_refused(self, binary: Path) -> None:
        (binary / "test_batch.bin").write_bytes(bytes([10]) + bytes(3072))
        with pytest.raises(ValueError, match="labels that are not from 0 to 9"):
            load("cifar10-binary", binary)

    def test_python_layout(self, batches: Path) -> None:
        data = load("cifar10-python", batches)
        assert data.train_images.shape == (50, 3, 32, 32)
        assert data.class_names[3] == "cat"

    def test_pickle_of_python_2_is_read(self, batches: Path) -> None:
        """Python 2 stored arrays as text that NumPy's old module rebuilds."""
        pixels, labels = cifar_pixels(10)
        text = pixels.tobytes().decode("latin1").encode("utf-8")
        array = (
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
            b"(I1\n(I10\nI3072\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
            b"I00\nc_codecs\nencode\n(X" + len(text).to_bytes(4, "little") + text + b"S'latin1'\n"
            b"tRtb"
        )
        rest = b"sS'labels'\n(l" + b"".join(b"I%d\na" % label for label in labels) + b"s."
        (batches / "test_batch").write_bytes(b"(dS'data'\n" + array + rest)
        data = load("cifar10-python", batches)
        assert data.test_labels.tolist() == labels.tolist()
        raw = data.test_images * torch.tensor(data.std).view(3, 1, 1)
        raw = (raw + torch.tensor(data.mean).view(3, 1, 1)) * 255
        assert np.allclose(raw.numpy().reshape(10, -1), pixels, atol=0.01)

    def test_pickle_that_wants_more_than_arrays_is_refused(self, batches: Path) -> None:
        (batches / "data_batch_1").write_bytes(pickle.dumps({"data": Attack()}))
        with pytest.raises(ValueError, match="is not allowed"):
            load("cifar10-python", batches)

    @pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2])])
    def test_damaged_pickle_is_named(self, batches: Path, content: bytes) -> None:
        (batches / "data_batch_2").write_bytes(content)
        with pytest.raises(ValueError, match="data_batch_2 is not a CIFAR-10 batch"):
            load("cifar10-python", batches)


class TestNpz:
    def test_grey_images(self, tmp_path: Path) -> None:
        data = load("npz", archive(tmp_path), 16)
        assert data.train_images.shape == (6, 1, 16, 16)
        assert data.class_names == ("0", "1", "2")

    def test_colour_images_and_names(self, tmp_path: Path) -> None:
        path = archive(
            tmp_path,
            train_images=np.zeros((6, 8, 8, 3), np.uint8),
            test_images=np.zeros((3, 8, 8, 3), np.uint8),
            class_names=np.array(["a", "b", "c"]),
        )
        data = load("npz", path)
        assert data.test_images.shape == (3, 3, 8, 8)
        assert data.class_names == ("a", "b", "c")
        assert torch.isfinite(data.train_images).all(), "images without contrast stay finite"

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"test_labels": None}, "no array 'test_labels'"),
            ({"train_images": np.zeros((6, 8, 8))}, "train_images .* must be uint8"),
            ({"train_labels": np.zeros(6)}, "train_labels .* must be whole numbers"),
            ({"train_labels": np.array([0, 1])}, "6 images but 2 labels"),
            ({"test_labels": np.array([0, 1, -1])}, "negative label"),
            (
                {"train_labels": np.array([0, 1, 0, 1, 0, 1])},
                r"class '2' has 0 images in .*\(train\); at least 2",
            ),
            ({"test_images": np.zeros((3, 8, 12), np.uint8)}, "must be square, got 12x8"),
            ({"class_names": np.array(["a", "b"])}, "has label 2, but there are 2 classes"),
            ({"class_names": np.array([object()])}, "not an archive of NumPy arrays"),
        ],
    )
    def test_mistakes_are_named(
        self, tmp_path: Path, changed: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            load("npz", archive(tmp_path, **changed))

    @pytest.mark.parametrize("damage", ["truncated", "array", "empty", "text"])
    def test_what_is_no_archive_is_named(self, tmp_path: Path, damage: str) -> None:
        path = archive(tmp_path)
        if damage == "array":
            with path.open("wb") as file:
                np.save(file, np.zeros(3))
        else:
            content = {"truncated": path.read_bytes()[:200], "empty": b"", "text": b"no archive"}
            path.write_bytes(content[damage])
        with pytest.raises(ValueError, match=r"data\.npz is not an archive of NumPy arrays"):
            load("npz", path)
