from typing import Any

import pytest

from latency.codec import decode, encode
from search.compress.request import CompressRequest, Distillation, Distortion, Mapping
from search.requests import DatasetRef
from search.space.sparsity import MaskRule

PLAIN: dict[str, Any] = {
    "dataset": DatasetRef(format="digits"),
    "network": "resnet-20",
    "budget_ms": 1.0,
}


def test_it_comes_back_from_json() -> None:
    request = CompressRequest(
        **PLAIN,
        width=0.5,
        seeds=2,
        distortion=Distortion.ONE_SHOT,
        mapping=Mapping.EVOLUTION,
        mask_rule=MaskRule.ADMM,
        distillation=Distillation(weight=0.3),
    )
    assert request.training_seeds == (0, 1)
    assert decode(encode(request), CompressRequest) == request
    assert CompressRequest(**(PLAIN | {"network": "a/b.onnx"})).is_given


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "alexnet"}, "must be one of .*mobilenet-v2.* or the path of an ONNX file"),
        ({"width": 0.0}, "width must be above 0"),
        ({"network": "mine.onnx", "width": 0.5}, "for the built-in networks only"),
        ({"recipe": "none"}, "unknown recipe 'none'; allowed"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seeds": 0}, "seeds must be from 1"),
        ({"distortion": "guess"}, "'guess' is not a valid Distortion"),
        ({"mapping": "guess"}, "'guess' is not a valid Mapping"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"budget_ms": 0.0}, "budget_ms must be above 0"),
        ({"tighten": 1.5}, "tighten must be above 0 and at most 1"),
    ],
)
def test_what_is_out_of_range_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompressRequest(**(PLAIN | change))


@pytest.mark.parametrize("change", [{"weight": 0.0}, {"weight": 2.0}, {"temperature": 0.0}])
def test_distillation_is_checked(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="of distillation must be above 0"):
        Distillation(**change)
