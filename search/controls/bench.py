"""How each control is made: which network, trained how, and what is known of it then."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from latency.lowering.quantize import QuantizationError
from latency.operator import Regime
from search.controls.candidates import dense_network, int8_network, random_network
from search.controls.space import ControlSpace, PricedNetwork
from search.controls.trainings import Trained, Trainings
from search.controls.verdict import Accuracies
from search.requests import SearchRequest
from search.space.networks import AnyGenotype

_DENSE = 1.0  # a training towards this density prunes nothing, and is as long as any other
_PARENT = "int8-parent"  # trained for int8 alone, where the dense control is narrower
_OVER_BUDGET = "even with the fewest channels it is predicted to be over the budget"


@dataclass(frozen=True, kw_only=True)
class Control:
    """A control that was made, or could not be."""

    name: str
    accuracies: Accuracies | None = None  # None: there is no such control
    facts: Mapping[str, Any]  # of the file of its first seed; else `absent`, the reason


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One searched network, and where its controls are trained."""

    request: SearchRequest
    space: ControlSpace
    trainings: Trainings
    searched: AnyGenotype
    searched_ms: float  # the upper end of its predicted interval

    def train_searched(self) -> list[Trained]:
        """Train the searched network with the other seeds; that of the first was trained before."""
        trained = [Trained(request=self.request, folder=self.trainings.work)]
        for seed in self.request.training_seeds[1:]:
            request = replace(self.request, seed=seed)
            trained.append(self.trainings.train("searched", self.searched, request))
        return trained

    def controls(self, networks: Sequence[Trained]) -> list[Control]:
        """Make every control; `networks` are the trainings of the searched network."""
        dense = dense_network(self.space, self.searched)
        return [
            self._random(),
            self._dense(dense),
            self._int8(int8_network(self.space, self.searched, dense), dense),
            self._random_mask(networks),
        ]

    def accuracies(self, trained: Sequence[Trained]) -> Accuracies:
        """Return what the trainings of one network get right."""
        return self._together([found.result["accuracy"] for found in trained])

    def _random(self) -> Control:
        seeds = self.request.training_seeds
        drawn = [random_network(self.space, seed, self.searched_ms) for seed in seeds]
        trained = [
            self.trainings.train("random", network.genotype, replace(self.request, seed=seed))
            for network, seed in zip(drawn, seeds, strict=True)
        ]
        return self._exported("random", trained, _before_training(drawn[0]))

    def _dense(self, network: PricedNetwork | None) -> Control:
        if network is None:
            return Control(name="dense", facts={"absent": _OVER_BUDGET})
        trained = self._train_dense("dense", network)
        return self._exported("dense", trained, _before_training(network))

    def _int8(self, network: PricedNetwork | None, dense: PricedNetwork | None) -> Control:
        if network is None:
            return Control(name="int8", facts={"absent": _OVER_BUDGET})
        is_dense_control = dense is not None and dense.genotype == network.genotype
        trained = self._train_dense("dense" if is_dense_control else _PARENT, network)
        graph = self.space.graph(network.genotype)
        try:
            files = [self.trainings.quantize("int8", found, graph) for found in trained]
        except QuantizationError as error:
            return Control(name="int8", facts={"absent": str(error)})
        facts = {
            "prediction": _plain(network),
            "genotype": network.genotype.to_dict(),
            "regime": Regime.STOCK.value,
            "density": _DENSE,
            "calibration_images": files[0]["calibration_images"],
            **self._file("int8", files[0]),
        }
        accuracies = self._together([found["accuracy"] for found in files])
        return Control(name="int8", accuracies=accuracies, facts=facts)

    def _random_mask(self, networks: Sequence[Trained]) -> Control:
        trained = [
            self.trainings.train(
                "random-mask",
                self.searched,
                network.request,
                self.trainings.layers_of(network),
            )
            for network in networks
        ]
        return self._exported("random-mask", trained, {})

    def _together(self, values: Sequence[float]) -> Accuracies:
        images = len(self.trainings.dataset.test_labels)
        return Accuracies(values=tuple(values), test_images=images)

    def _train_dense(self, name: str, network: PricedNetwork) -> list[Trained]:
        dense = replace(self.request, density=_DENSE, densities="planned")
        requests = [replace(dense, seed=seed) for seed in self.request.training_seeds]
        return [self.trainings.train(name, network.genotype, request) for request in requests]

    def _exported(self, name: str, trained: Sequence[Trained], facts: Mapping[str, Any]) -> Control:
        exported = self.trainings.export(trained[0])
        found = {
            "prediction": exported["prediction"],
            "genotype": exported["genotype"],
            "regime": exported["regime"],
            "density": trained[0].result["density"],
            **self._file(name, exported),
        }
        return Control(name=name, accuracies=self.accuracies(trained), facts={**facts, **found})

    def _file(self, name: str, written: Mapping[str, Any]) -> dict[str, Any]:
        path = self.trainings.folder(name, self.request.seed) / "model.onnx"
        return {
            "path": str(path.relative_to(self.trainings.work)),
            "sha256": written["sha256"],
            "bytes": written["bytes"],
        }


def _before_training(network: PricedNetwork) -> dict[str, Any]:
    return {"prediction_before_training": _plain(network)}


def _plain(network: PricedNetwork) -> dict[str, Any] | None:
    return None if network.prediction is None else asdict(network.prediction)
