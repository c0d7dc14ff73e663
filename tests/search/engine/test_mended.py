"""What stopped a job is put right, and the job goes on to the result that it would have had."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from latency.codec import encode
from search.__main__ import main
from search.data.datasets import load_dataset
from search.engine.checkpoint import load_checkpoint
from search.engine.divergence import TrainingDivergedError
from search.requests import DatasetRef
from search.stages import run_search
from tests.search.engine.small import RECIPE, Events, small_loop, small_request


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Ten training and two test images of each of three classes, told apart by their colour."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 10), ("test", 2)):
        for channel, name in enumerate(("blue", "green", "red")):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 90, (8, 8, 3), dtype=np.uint8)
                pixels[..., channel] += 120
                path = tmp_path / "images" / part / name / f"{index}.png"
                Image.fromarray(pixels).save(path)
    return tmp_path / "images"


def run(stage: str, work: Path) -> int:
    request = str(work.parent / "request.json")
    return main([stage, "--request", request, "--work", str(work), "--threads", "1"])


def read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def test_broken_image_stops_search_and_training_until_it_is_mended(
    images: Path, tmp_path: Path
) -> None:
    request = small_request(tmp_path, dataset=DatasetRef(format="image-folder", path=str(images)))
    (tmp_path / "request.json").write_bytes(encode(request))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert [run(stage, whole) for stage in ("search", "derive", "train")] == [0, 0, 0]

    with pytest.raises(KeyboardInterrupt):
        run_search(request, broken, load_dataset(request.dataset), None, Events(stop_after=1))
    victim = images / "train" / "red" / "7.png"
    sound = victim.read_bytes()
    for stage in ("search", "train"):
        victim.write_bytes(sound[:50])
        assert run(stage, broken) == 1
        error = read(broken / f"{stage}.error.json")
        assert error["code"] == "invalid-dataset"
        assert "train/red/7.png is not a readable image" in error["message"]
        assert not (broken / f"{stage}.json").exists()
        victim.write_bytes(sound)
        assert run(stage, broken) == 0
        assert not (broken / f"{stage}.error.json").exists()
        assert run("derive", broken) == 0
    for name in ("search.json", "derive.json", "train.json"):
        assert read(broken / name) == read(whole / name)


def test_smallest_data_set_is_searched_and_trained(images: Path, tmp_path: Path) -> None:
    """Two training images and one test image a class: one each in every part."""
    for path in images.rglob("*.png"):
        if int(path.stem) >= (2 if path.parts[-3] == "train" else 1):
            path.unlink()
    request = small_request(tmp_path, dataset=DatasetRef(format="image-folder", path=str(images)))
    (tmp_path / "request.json").write_bytes(encode(request))
    assert [run(stage, tmp_path / "work") for stage in ("search", "derive", "train")] == [0, 0, 0]
    assert read(tmp_path / "work" / "train.json")["test_images"] == 3


def test_search_that_diverged_goes_on_from_the_epoch_before(tmp_path: Path) -> None:
    request = small_request(tmp_path)
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    small_loop(request).train(whole, Events())
    with pytest.raises(KeyboardInterrupt):
        small_loop(request).train(parts, Events(stop_after=1))
    sick = small_loop(request)
    sick.data.weights.images.fill_(math.nan)
    with pytest.raises(TrainingDivergedError, match="search: in epoch 2 the loss of step 1 is nan"):
        sick.train(parts, Events())
    assert load_checkpoint(parts)["epoch"] == 1
    small_loop(request).train(parts, Events())
    one, other = load_checkpoint(whole), load_checkpoint(parts)
    assert one["history"] == other["history"]
    assert torch.equal(one["alphas"]["normal"], other["alphas"]["normal"])


def test_weights_out_of_range_are_not_checkpointed(tmp_path: Path) -> None:
    """The loss that was computed before the step is finite; the step itself is not."""
    loop = small_loop(small_request(tmp_path), replace(RECIPE, weight_lr=math.inf, warmup_epochs=1))
    with pytest.raises(TrainingDivergedError, match="in epoch 1 a weight is infinite") as caught:
        loop.train(tmp_path / "run.pt", Events())
    assert (caught.value.code, caught.value.epoch) == ("training-diverged", 1)
    assert not (tmp_path / "run.pt").exists()
