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
OVER_BUDGET = "even with the fewest channels it is predicted to be over the budget"
_INT8_FILE = "model.onnx"  # one for every device: stock ONNX Runtime runs it


@dataclass(frozen=True, kw_only=True)
class Control:
    """A control that was made, or could not be."""

    name: str
    accuracies: Accuracies | None = None  # None: there is no such control
    # Of the file of its first seed, on the first device and in `also` on each other one; without
    # such a control `absent`, the reason.
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One searched network, and where its controls are trained."""

    request: SearchRequest
    space: ControlSpace
    trainings: Trainings
    searched: AnyGenotype
    searched_share: float  # that it needs of a budget, by the upper ends of predicted intervals

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
        drawn = [random_network(self.space, seed, self.searched_share) for seed in seeds]
        trained = [
            self.trainings.train("random", network.genotype, replace(self.request, seed=seed))
            for network, seed in zip(drawn, seeds, strict=True)
        ]
        return self._exported("random", trained, drawn[0])

    def _dense(self, network: PricedNetwork | None) -> Control:
        if network is None:
            return Control(name="dense", facts={"absent": OVER_BUDGET})
        trained = self._train_dense("dense", network)
        return self._exported("dense", trained, network)

    def _int8(self, network: PricedNetwork | None, dense: PricedNetwork | None) -> Control:
        if network is None:
            return Control(name="int8", facts={"absent": OVER_BUDGET})
        is_dense_control = dense is not None and dense.genotype == network.genotype
        trained = self._train_dense("dense" if is_dense_control else _PARENT, network)
        graph = self.space.graph(network.genotype)
        try:
            files = [self.trainings.quantize("int8", found, graph) for found in trained]
        except QuantizationError as error:
            return Control(name="int8", facts={"absent": str(error)})
        file = {"regime": Regime.STOCK.value, **self._file("int8", _INT8_FILE, files[0])}
        facts = {
            "genotype": network.genotype.to_dict(),
            "density": _DENSE,
            "calibration_images": files[0]["calibration_images"],
            **self._by_device([{"prediction": found, **file} for found in _plain(network)]),
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
        return self._exported("random-mask", trained)

    def _together(self, values: Sequence[float]) -> Accuracies:
        images = len(self.trainings.dataset.test_labels)
        return Accuracies(values=tuple(values), test_images=images)

    def _train_dense(self, name: str, network: PricedNetwork) -> list[Trained]:
        dense = replace(self.request, density=_DENSE, densities="planned")
        requests = [replace(dense, seed=seed) for seed in self.request.training_seeds]
        return [self.trainings.train(name, network.genotype, request) for request in requests]

    def _exported(
        self, name: str, trained: Sequence[Trained], priced: PricedNetwork | None = None
    ) -> Control:
        """Return a control with a file for each device; `priced` is it before it was trained."""
        exported = self.trainings.export(trained[0])
        each = [
            {
                "prediction": one["prediction"],
                "regime": one["regime"],
                **self._file(name, one["path"], one),
            }
            for one in (exported, *exported.get("also", ()))
        ]
        if priced is not None:
            before = _plain(priced)
            each = [
                {"prediction_before_training": found, **facts}
                for found, facts in zip(before, each, strict=True)
            ]
        facts = {
            "genotype": exported["genotype"],
            "density": trained[0].result["density"],
            **self._by_device(each),
        }
        return Control(name=name, accuracies=self.accuracies(trained), facts=facts)

    def _by_device(self, each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the facts of the first device, and those of each other one in `also`."""
        own, *others = each
        budgets = self.request.budgets[1:]
        also = [
            {"device": budget.device, **facts}
            for budget, facts in zip(budgets, others, strict=True)
        ]
        return {**own, **({"also": also} if also else {})}

    def _file(self, name: str, file: str, written: Mapping[str, Any]) -> dict[str, Any]:
        path = self.trainings.folder(name, self.request.seed) / file
        return {
            "path": str(path.relative_to(self.trainings.work)),
            "sha256": written["sha256"],
            "bytes": written["bytes"],
        }


def _plain(network: PricedNetwork) -> list[dict[str, Any] | None]:
    return [None if found is None else asdict(found) for found in network.predictions]
