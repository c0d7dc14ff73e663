"""Folders of images as people have them: every fault is named, and what is no fault is read."""

import os
import struct
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.data.limits import check_memory
from search.requests import DatasetRef

RNG = np.random.default_rng(0)
CHAT = unicodedata.normalize("NFC", "chât")


def load(folder: Path, size: int | None = None) -> Dataset:
    return load_dataset(DatasetRef(format="image-folder", path=str(folder), image_size=size))


def write_image(path: Path, size: int = 12) -> None:
    Image.fromarray(RNG.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, count in (("train", 2), ("test", 1)):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for index in range(count):
                write_image(tmp_path / part / name / f"{index}.png")
    return tmp_path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG file that says how large it is, and has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_class_with_one_image_is_named_with_what_is_needed(folder: Path) -> None:
    (folder / "train" / "dog" / "1.png").unlink()
    with pytest.raises(
        ValueError,
        match=r"class 'dog' has 1 image in .*train; at least 2 are needed: both halves of the search,"
        " and training and validation, need images of every class",
    ):
        load(folder)


@pytest.mark.parametrize("part", ["train", "test"])
def test_empty_class_folder_is_named(folder: Path, part: str) -> None:
    for path in (folder / part / "dog").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=rf"{part}/dog has no images \('.png', '.jpg', '.jpeg'\)"):
        load(folder)


def test_single_class_is_refused(folder: Path) -> None:
    for part in ("train", "test"):
        for path in (folder / part / "dog").iterdir():
            path.unlink()
        (folder / part / "dog").rmdir()
    with pytest.raises(ValueError, match="train needs a folder for each of at least two classes"):
        load(folder)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("kept", [0, 1, 20, 100, 0.7])
def test_cut_image_is_named(folder: Path, suffix: str, kept: float) -> None:
    path = folder / "train" / "cat" / f"cut.{suffix}"
    write_image(path, 40)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept if isinstance(kept, int) else kept * len(whole))])
    with pytest.raises(ValueError, match=rf"cat/cut\.{suffix} is not a readable image"):
        load(folder, 12)


def test_damaged_bytes_never_escape_as_anything_else(folder: Path) -> None:
    """Decoders raise all sorts of errors; here each is one that names the file, or none."""
    path = folder / "train" / "cat" / "odd.png"
    write_image(path, 16)
    whole = path.read_bytes()
    for _ in range(150):
        damaged = bytearray(whole)
        for place in RNG.integers(0, len(whole), 4):
            damaged[place] = RNG.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            load(folder, 12)
        except ValueError as error:
            assert "cat/odd.png" in str(error)  # noqa: PT017


def test_text_with_the_name_of_an_image_is_named(folder: Path) -> None:
    (folder / "test" / "cat" / "b.jpeg").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9"
    )
    with pytest.raises(ValueError, match=r"b\.jpeg is not a readable image: cannot identify"):
        load(folder)


@pytest.mark.parametrize("side", [8193, 10_000, 30_000])
def test_bomb_is_refused_by_its_header(folder: Path, side: int) -> None:
    (folder / "train" / "cat" / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(ValueError, match=r"cat/bomb\.png is not a readable image: .*pixels"):
        load(folder, 12)


def test_more_images_than_memory_are_refused() -> None:
    with pytest.raises(ValueError, match="1000000000 images of 3x512x512 in there would need"):
        check_memory(10**9, 3, 512, "there")
    check_memory(60_000, 3, 32, "there")


def test_grey_and_transparent_images_among_colours_become_rgb(folder: Path) -> None:
    for mode, colour in (("L", 100), ("LA", (100, 7)), ("1", 1), ("RGBA", (1, 2, 3, 4))):
        Image.new(mode, (12, 12), colour).save(folder / "test" / "dog" / f"9{mode}.png")
    Image.new("CMYK", (12, 12), (0, 0, 0, 0)).save(folder / "test" / "dog" / "8.jpg")
    data = load(folder)
    assert data.test_images.shape == (2 + 5, 3, 12, 12)
    by_name = dict(
        zip(sorted(p.name for p in (folder / "test/dog").iterdir()), range(1, 7), strict=True)
    )
    grey = data.test_images[by_name["9L.png"], :, 0, 0].numpy() * data.std + data.mean
    assert np.allclose(grey, 100 / 255, atol=1e-5)


def test_sixteen_bits_are_refused_rather_than_cut_off(folder: Path) -> None:
    deep = np.full((12, 12), 40_000, dtype=np.uint16)
    Image.fromarray(deep).save(folder / "train" / "cat" / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png is not a readable image: more than 8 bits"):
        load(folder)


def test_first_image_that_is_not_square_is_named(folder: Path) -> None:
    Image.new("RGB", (12, 16)).save(folder / "train" / "cat" / "!.png")
    with pytest.raises(ValueError, match=r"cat/!\.png is 12x16, not square; give image_size"):
        load(folder)
    assert load(folder, 8).train_images.shape == (5, 3, 8, 8)


def test_size_that_no_network_takes_is_refused(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        write_image(path, 10)
    with pytest.raises(ValueError, match="train: task: image_size must be a multiple of 4"):
        load(folder)


def test_hidden_files_and_folders_are_left_out(folder: Path) -> None:
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    (folder / "train" / "cat" / "._0.png").write_bytes(b"what macOS leaves behind")
    (folder / "train" / "cat" / ".DS_Store").write_bytes(b"\0")
    (folder / "train" / "notes.txt").write_text("no class")
    data = load(folder)
    assert data.class_names == ("cat", "dog")
    assert len(data.train_labels) == 4


def test_names_of_any_script_are_read_however_accents_are_stored(folder: Path) -> None:
    for part in ("train", "test"):
        stored = CHAT if part == "train" else unicodedata.normalize("NFD", CHAT)
        (folder / part / "cat").rename(folder / part / stored)
        (folder / part / "dog").rename(folder / part / "犬 🐕")
        (folder / part / "犬 🐕" / "0.png").rename(folder / part / "犬 🐕" / "ö'\n.PNG")
    data = load(folder)
    assert data.class_names == (CHAT, "犬 🐕")
    (folder / "train" / unicodedata.normalize("NFD", CHAT)).mkdir()
    with pytest.raises(ValueError, match="train has two folders of the class 'ch"):
        load(folder)


def test_name_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / "train" / os.fsdecode(b"\xff")).mkdir()
    with pytest.raises(ValueError, match=r"train has a name that is not UTF-8: '\\udcff'"):
        load(folder)


def test_links_are_followed_and_loops_named(folder: Path) -> None:
    (folder / "train" / "cat" / "2.png").symlink_to(folder / "test" / "cat" / "0.png")
    assert len(load(folder).train_labels) == 5
    (folder / "train" / "cat" / "loop.png").symlink_to("loop.png")
    with pytest.raises(ValueError, match=r"cat/loop\.png is no file: .* a link that leads nowhere"):
        load(folder)
    (folder / "train" / "cat" / "loop.png").unlink()
    (folder / "train" / "bird").symlink_to("bird")
    with pytest.raises(ValueError, match="train/bird is a link that leads nowhere"):
        load(folder)
    (folder / "train" / "bird").unlink()
    for part in ("train", "test"):
        (folder / part / "bird").symlink_to("..")  # a circle, if classes were searched deeper
    with pytest.raises(ValueError, match="train/bird has no images"):
        load(folder)


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "test" / "dog" / "pipe.png")
    with pytest.raises(ValueError, match=r"dog/pipe\.png is no file"):
        load(folder)
