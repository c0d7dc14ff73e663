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
            (root / part / f"class{index}").mkdir(parents=True)
    return root


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
        path = npz(
            tmp_path / "x.npz",
            train_images=np.zeros((2, 8, 8), dtype=np.uint8),
            train_labels=np.array([0, 1]),
            class_names=np.array(["a", "b", "c"]),
        )
        assert register(admin, "npz", path)[1]["classes"] == 3

    @pytest.mark.parametrize(
        ("form", "name"),
        [("cifar10-binary", "data_batch_1.bin"), ("cifar10-python", "data_batch_1")],
    )
    def test_cifar(self, admin: TestClient, tmp_path: Path, form: str, name: str) -> None:
        status, _ = register(admin, form, tmp_path)
        assert status == 422
        (tmp_path / name).touch()
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
        padded = header.ljust(117) + b"\n"
        labels = b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded
        path = npz(tmp_path / "x.npz", train_images=np.zeros((2, 8, 8), dtype=np.uint8))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("train_labels.npy", labels)
        assert register(admin, "npz", path)[0] == 422

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
