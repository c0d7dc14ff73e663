"""Data sets: the built-in one, registered ones, and paths that lead nowhere."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from search.data.datasets import load_dataset
from search.requests import DATASET_FORMATS, DatasetRef
from service.app import create_app
from service.database import Database
from service.datasets.inspection import FORMATS
from service.datasets.use_cases import DIGITS, find_dataset
from service.settings import Settings
from tests.service.fakes import HeldClock, RecordingListener, RecordingQueue


def image_folder(root: Path, classes: int = 3) -> Path:
    for part in ("train", "test"):
        for index in range(classes):
            folder = root / part / f"class{index}"
            folder.mkdir(parents=True)
            for number in range(2):  # names are looked at, images are not
                (folder / f"{number}.png").touch()
    return root


def arrays(train: list[int], test: list[int], size: int = 8) -> dict[str, object]:
    return {
        "train_images": np.zeros((len(train), size, size), dtype=np.uint8),
        "train_labels": np.array(train),
        "test_images": np.zeros((len(test), size, size), dtype=np.uint8),
        "test_labels": np.array(test),
    }


def array_without_values(header: bytes) -> bytes:
    padded = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def npz(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def register(admin: TestClient, form: str, path: Path, **more: object) -> tuple[int, dict]:  # type: ignore[type-arg]
    body = {"name": "mine", "format": form, "path": str(path), **more}
    response = admin.post("/v1/datasets", json=body)
    return response.status_code, response.json()


def test_formats_are_those_of_the_search() -> None:
    assert {*FORMATS, "digits"} == set(DATASET_FORMATS)


def test_digits_is_built_in(admin: TestClient) -> None:
    (found,) = admin.get("/v1/datasets").json()
    assert found["built_in"] is True
    assert (found["image_channels"], found["image_size"], found["classes"]) == (1, 16, 10)
    assert admin.get("/v1/datasets/digits").json() == found
    assert DIGITS.ref.format == "digits"


class TestFormats:
    def test_image_folder(self, admin: TestClient, tmp_path: Path, database: Database) -> None:
        root = image_folder(tmp_path / "images")
        status, found = register(admin, "image-folder", root, image_size=32)
        assert status == 201
        assert (found["image_channels"], found["image_size"], found["classes"]) == (3, 32, 3)
        with database.reading() as session:
            ref = find_dataset(session, "mine").ref
        assert (ref.format, ref.path, ref.image_size) == ("image-folder", str(root), 32)
        assert [item["name"] for item in admin.get("/v1/datasets").json()] == ["digits", "mine"]
        assert [item["name"] for item in admin.get("/v1/datasets?offset=1").json()] == ["mine"]

    @pytest.mark.parametrize("shape", [(9, 16, 16), (9, 16, 16, 1), (9, 12, 12, 3)])
    @pytest.mark.parametrize("names", ["images", "x"])
    def test_npz_is_what_the_loader_makes_of_it(
        self, admin: TestClient, tmp_path: Path, shape: tuple[int, ...], names: str
    ) -> None:
        images, labels = np.zeros(shape, dtype=np.uint8), np.arange(9) % 3
        form = "{}_images {}_labels" if names == "images" else "x_{} y_{}"
        arrays: dict[str, object] = {
            name: array
            for part in ("train", "test")
            for name, array in zip(form.format(part, part).split(), (images, labels), strict=True)
        }
        path = npz(tmp_path / "x.npz", **arrays)
        status, found = register(admin, "npz", path)
        assert status == 201
        task = load_dataset(DatasetRef(format="npz", path=str(path))).task
        wanted = (task.image_channels, task.image_size, task.classes)
        assert (found["image_channels"], found["image_size"], found["classes"]) == wanted

    def test_npz_with_named_classes(self, admin: TestClient, tmp_path: Path) -> None:
        names = np.array(["a", "b", "c"])
        path = npz(tmp_path / "x.npz", **arrays([0, 1, 2] * 2, [0, 1, 2]), class_names=names)
        assert register(admin, "npz", path)[1]["classes"] == 3

    @pytest.mark.parametrize(
        ("form", "suffix"), [("cifar10-binary", ".bin"), ("cifar10-python", "")]
    )
    def test_cifar(self, admin: TestClient, tmp_path: Path, form: str, suffix: str) -> None:
        for name in [*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"]:
            status, found = register(admin, form, tmp_path)
            assert status == 422
            assert f"no file {name}{suffix}" in found["detail"]
            (tmp_path / f"{name}{suffix}").touch()
        status, found = register(admin, form, tmp_path)
        assert status == 201
        assert (found["image_channels"], found["image_size"], found["classes"]) == (3, 32, 10)


class TestRefusals:
    def test_nothing_there(self, admin: TestClient, tmp_path: Path) -> None:
        for path in (tmp_path / "nothing", Path("relative"), Path("/" + "x/" * 400)):
            status, found = register(admin, "npz", path)
            assert status == 422
            assert found["errors"][0]["pointer"] == "/path"
            assert "nothing" not in found["detail"].replace("read nothing", "")

    def test_a_circle_of_links(self, admin: TestClient, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to(tmp_path / "b")
        (tmp_path / "b").symlink_to(tmp_path / "a")
        assert register(admin, "npz", tmp_path / "a")[0] == 422

    def test_not_of_this_form(self, admin: TestClient, tmp_path: Path) -> None:
        text = tmp_path / "text.npz"
        text.write_text("not a zip")
        objects = npz(
            tmp_path / "objects.npz",
            train_images=np.zeros((2, 1, 8, 8)),
            train_labels=np.array([{}, {}]),
        )
        flat = npz(tmp_path / "flat.npz", train_images=np.zeros(4), train_labels=np.zeros(4))
        empty = npz(tmp_path / "empty.npz", other=np.zeros(4))
        for path in (text, objects, flat, empty, tmp_path):
            assert register(admin, "npz", path)[0] == 422, path

    def test_what_is_no_file_is_never_opened(self, admin: TestClient, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", Path("/dev/zero")):
            assert register(admin, "npz", path)[0] == 422

    @pytest.mark.parametrize(
        "header",
        [
            b"{'descr': '|S99999999', 'fortran_order': False, 'shape': (9999999,), }",
            b"{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999,), }",
            b"{'descr': '<i8', 'fortran_order': ((((",
        ],
    )
    def test_headers_that_lie(self, admin: TestClient, tmp_path: Path, header: bytes) -> None:
        rest = arrays([0, 1] * 2, [0, 1])
        del rest["train_labels"]
        path = npz(tmp_path / "x.npz", **rest)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("train_labels.npy", array_without_values(header))
        assert register(admin, "npz", path)[0] == 422

    @pytest.mark.parametrize("shape", ["(1000000000000,)", "(5,)", "(2, 3)", "()"])
    def test_names_that_cannot_be_those_of_the_classes(
        self, admin: TestClient, tmp_path: Path, shape: str
    ) -> None:
        header = f"{{'descr': '<U1', 'fortran_order': False, 'shape': {shape}}}".encode()
        path = npz(tmp_path / "x.npz", **arrays([0, 1] * 2, [0, 1]))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("class_names.npy", array_without_values(header))
        status, found = register(admin, "npz", path)
        assert status == 422
        assert "class_names" in found["detail"]

    @pytest.mark.parametrize(
        ("train", "test", "message"),
        [
            ([0, 0, 1], [0, 1], "class '1' has 1 image in train_labels; at least 2 are needed"),
            ([0, 0, 2, 2], [0, 2], "class '1' has 0 images in train_labels"),
            ([0, 0, 1, 1], [0, 0], "class '1' has 0 images in test_labels; at least 1 is needed"),
            ([0, 0, 1, 10**12], [0, 1], "label 1000000000000 but 6 labels only"),
            ([0, 0, 1, -1], [0, 1], "train_labels has a negative label"),
            ([0, 0], [0, 0], "train_labels has one class only"),
            ([], [0], "train_labels is empty"),
        ],
    )
    def test_labels_that_no_training_takes(
        self, admin: TestClient, tmp_path: Path, train: list[int], test: list[int], message: str
    ) -> None:
        values = arrays(train, test)
        if not train:
            values["train_labels"] = np.zeros(0, dtype=np.int64)
        path = npz(tmp_path / "x.npz", **values)
        status, found = register(admin, "npz", path)
        assert status == 422
        assert message in found["detail"]

    def test_images_that_no_training_takes(self, admin: TestClient, tmp_path: Path) -> None:
        labels = [0, 1] * 2
        other = arrays(labels, labels) | {"test_images": np.zeros((4, 16, 16), dtype=np.uint8)}
        floats = arrays(labels, labels) | {"test_images": np.zeros((4, 8, 8))}
        missing = arrays(labels, labels) | {"test_labels": np.array(labels[:3])}
        for values, message in (
            (other, "but test_images are (16, 16)"),
            (floats, "test_images must be uint8"),
            (missing, "there are 4 test_images but 3 test_labels"),
        ):
            status, found = register(admin, "npz", npz(tmp_path / "x.npz", **values))
            assert status == 422
            assert message in found["detail"]

    def test_image_folder_names_what_is_missing(self, admin: TestClient, tmp_path: Path) -> None:
        root = image_folder(tmp_path / "images")
        (root / "train" / ".cache").mkdir()
        (root / "train" / "class1" / "1.png").unlink()
        status, found = register(admin, "image-folder", root, image_size=32)
        assert status == 422
        assert "class 'class1' has 1 image in train; at least 2 are needed" in found["detail"]
        assert str(tmp_path) not in found["detail"]
        (root / "train" / "class1" / "1.png").touch()
        assert register(admin, "image-folder", root, image_size=32)[1]["classes"] == 3

    def test_image_folder_needs_its_parts_and_a_size(
        self, admin: TestClient, tmp_path: Path
    ) -> None:
        assert register(admin, "image-folder", tmp_path, image_size=32)[0] == 422
        image_folder(tmp_path)
        status, found = register(admin, "image-folder", tmp_path)
        assert (status, found["errors"][0]["pointer"]) == (422, "/image_size")
        assert register(admin, "image-folder", tmp_path, image_size=30)[0] == 422

    def test_names(self, admin: TestClient, tmp_path: Path) -> None:
        image_folder(tmp_path)
        assert register(admin, "image-folder", tmp_path, image_size=32)[0] == 201
        for name in ("mine", "digits"):
            status, found = register(admin, "image-folder", tmp_path, image_size=32, name=name)
            assert (status, found["code"]) == (409, "name-taken")

    def test_unknown_names_what_there_is(self, admin: TestClient) -> None:
        response = admin.get("/v1/datasets/imagenet")
        assert response.status_code == 404
        assert "digits" in response.json()["detail"]
        assert "imagenet" not in response.json()["detail"]


def test_only_below_the_allowed_folders(
    tmp_path: Path, database: Database, clock: HeldClock, admin: TestClient
) -> None:
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    image_folder(allowed / "x")
    image_folder(other / "x")
    (allowed / "link").symlink_to(other / "x")
    settings = Settings(data_dir=tmp_path / "data", dataset_roots=(allowed,))
    app: FastAPI = create_app(
        settings, RecordingListener(), RecordingQueue(), database=database, clock=clock
    )
    http = TestClient(app, headers=dict(admin.headers))
    assert register(http, "image-folder", other / "x", image_size=32)[0] == 422
    assert register(http, "image-folder", allowed / "link", image_size=32)[0] == 422
    assert register(http, "image-folder", allowed / ".." / "other" / "x", image_size=32)[0] == 422
    assert register(http, "image-folder", allowed / "x", image_size=32)[0] == 201
