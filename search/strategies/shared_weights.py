"""How good a discrete network is, judged with the weights of a trained supernet.

The supernet mixes operations; a discrete network is the mixture of ones and zeros. Two things are
different then from what its weights have learnt on, and both are put right from images that the
weights were trained on:

- the size of what a node gives: a sum of two whole operations instead of many small parts. Each node
  is scaled to the size that it has in the trained mixture, because skips hand sizes on and the
  classifier reads them. All other operations end in a batch norm and do not feel it;
- the statistics of every batch norm, which are restated.

Judged is the accuracy on images of the architecture's half, which no weight was trained on.

It is a hint, not more. Weights that were trained in a mixture of nearly equal parts rely on each
other: then networks of many convolutions are judged far below what they are worth, and those of
skips and pools least so. The more decided the mixture, the better the judgement.

Shape suffixes: K kinds of cell (2), N nodes (4), E edges (14), O operations (8).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from latency.host_lock import training_step
from search.data.dataset import Dataset
from search.engine.checkpoint import load_checkpoint
from search.engine.device import mixed_precision
from search.engine.recipes import recipe_named
from search.engine.relaxation import mixture_of
from search.engine.search_loop import SearchData
from search.engine.search_run import SearchRun
from search.engine.search_stage import CHECKPOINT, search_halves
from search.layers.statistics import restate_norms
from search.problems.cells import CellProblem
from search.requests import SearchRequest
from search.space.cell_encoding import encode_edges
from search.space.cell_interactions import MIXED_EDGES
from search.space.genotype import NODES, Genotype
from search.space.planned_space import PlannedSpace
from search.space.task import TaskShape
from search.supernet.supernet import Supernet

_NODE_OF_EDGE = torch.tensor([node for node, _ in MIXED_EDGES])
_BATCH = 128
_RESTATED = 256  # images that sizes and statistics are taken from
_JUDGED = 512  # images that the accuracy is taken on

Tables = Sequence[Tensor]  # (14, 8) weights of operations, of normal cells and of reductions


class SharedWeights:
    """Judges genotypes of cells with the weights of one supernet; the same one always alike.

    Middle widths make no difference: the supernet has one width.

    Args:
        supernet: trained; its batch norm statistics change.
        mixture: weights of the operations that it was trained with.
        data: the halves of its search.
    """

    def __init__(self, supernet: Supernet, mixture: Tables, data: SearchData) -> None:
        self._supernet, self._device = supernet, data.weights.images.device
        size = min(_BATCH, len(data.weights))
        count = min(_RESTATED, len(data.weights)) // size * size
        self._seen = torch.split(data.weights.sample(count).images, size)
        judged = data.alphas.sample(_JUDGED)
        self._images = torch.split(judged.images, _BATCH)
        self._labels = judged.labels
        self._mixture = [table.to(self._device) for table in mixture]
        self._sizes_KN = self._node_sizes(self._mixture)

    @property
    def judged_images(self) -> int:
        """How many images an accuracy is of."""
        return len(self._labels)

    def mixture_accuracy(self) -> float:
        """Return the fraction of right answers of the supernet as it was trained."""
        return self._accuracy(self._mixture)

    def __call__(self, genotype: Genotype) -> float:
        """Return the fraction of right answers of the network."""
        return self._accuracy(self._scaled(genotype))

    @torch.no_grad()
    def _accuracy(self, tables: Tables) -> float:
        with training_step():
            restate_norms(self._supernet, lambda part: self._logits(part, tables), self._seen)
            self._supernet.eval()
            answers = [self._logits(part, tables).argmax(dim=1) for part in self._images]
        return float((torch.cat(answers) == self._labels).float().mean())

    def _scaled(self, genotype: Genotype) -> Tables:
        """Return the mixture of a genotype, its nodes as large as those of the trained mixture."""
        one_hot = torch.from_numpy(encode_edges([genotype])[0]).float().to(self._device)
        sizes_KN = self._node_sizes(list(one_hot))
        # A node of which every operation is masked out gives nothing, at any scale.
        factor_KN = torch.where(sizes_KN > 0, self._sizes_KN / sizes_KN, 1.0)
        return list(one_hot * factor_KN[:, _NODE_OF_EDGE.to(self._device), None])

    @torch.no_grad()
    def _node_sizes(self, tables: Tables) -> Tensor:
        """Return (2, 4): the root mean square of each node, over images and cells of each kind."""
        squares: tuple[list[Tensor], list[Tensor]] = ([], [])

        def note(cell: nn.Module, _inputs: object, output: Tensor) -> None:
            nodes = output.float().reshape(len(output), NODES, -1)
            squares[int(bool(cell.reduction))].append(nodes.square().mean(dim=(0, 2)))

        hooks = [cell.register_forward_hook(note) for cell in self._supernet.cells]
        try:
            with training_step():
                first = self._seen[:1]
                restate_norms(self._supernet, lambda part: self._logits(part, tables), first)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack([torch.stack(kind).mean(dim=0) for kind in squares]).sqrt()

    def _logits(self, images: Tensor, tables: Tables) -> Tensor:
        with mixed_precision(self._device):
            logits: Tensor = self._supernet(images, *tables)
        return logits


def space_of_cells(request: SearchRequest, task: TaskShape) -> PlannedSpace:
    """Return the space of a request.

    Raises:
        ValueError: it is not one of cells, which alone can be judged by shared weights.
    """
    space = request.search_space(task)
    if not isinstance(space, PlannedSpace):
        raise ValueError(f"front: only cells have fronts yet, not the space {space.name!r}")
    return space


def load_shared_weights(request: SearchRequest, work: Path, dataset: Dataset) -> SharedWeights:
    """Return the judge with the supernet that the search in a work folder has trained.

    Args:
        request: of the search; its budget may have changed since, the supernet has not.
        work: holds checkpoints/search.pt.
        dataset: of the search.

    Raises:
        ValueError: the space is not of cells, or the checkpoint is damaged, of a search that has
            not ended, or of another one.
        OSError: it cannot be read.
    """
    state = load_checkpoint(work / CHECKPOINT)
    recipe = recipe_named(request.recipe)
    if state["epoch"] != recipe.epochs:
        raise ValueError(f"front: the search ended in epoch {state['epoch']} of {recipe.epochs}")
    problem = CellProblem(request=request, space=space_of_cells(request, dataset.task))
    run = SearchRun(problem, recipe, dataset.train_images.device)
    try:
        run.supernet.load_state_dict(state["supernet"])
    except RuntimeError as error:
        raise ValueError(f"front: the supernet of the search has another form: {error}") from error
    run.alphas.load_state_dict(state["alphas"])
    tables = [table.detach() for table in run.alphas.parameters()]
    mixture = mixture_of(tables, recipe.relaxation)
    assert isinstance(run.supernet, Supernet)
    return SharedWeights(run.supernet, mixture, search_halves(dataset, request.seed))
