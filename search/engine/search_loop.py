"""The search: dense, scores, masked; weights and architecture on separate halves of the data.

The three stages are those of DASS (Mousavi et al., doi 10.1145/3609385). The alphas have an
optimiser and data of their own. Where we differ otherwise is named by the recipe, and the recipe
`dass-paper` takes it all back.

A fourth stage may follow for those who want the supernet to judge single networks: its weights are
trained on single paths, masked as they are, while the alphas rest.
"""

import itertools
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from latency.host_lock import training_step
from search.data.batches import Augmentation, Examples, batches, seeded_generator
from search.engine.checkpoint import resume_point, save_checkpoint
from search.engine.device import mixed_precision
from search.engine.divergence import check_finite, finite_loss
from search.engine.gradients import GradientSource, StepGradients
from search.engine.masking import enter_epoch, leave_by_rule
from search.engine.problem import SearchProblem
from search.engine.progress import Progress
from search.engine.recipes import Relaxation, SearchRecipe
from search.engine.relaxation import MixedPaths, logits_of, mixture_of
from search.engine.schedule import Stage, learning_rate, stage_of, temperature, trains_scores
from search.engine.search_run import SearchRun
from search.engine.single_paths import single_paths
from search.engine.unrolled import Batch, unrolled_gradients
from search.layers.sparse import density_of
from search.layers.statistics import restate_norms
from search.objective.beta import beta_regulariser
from search.objective.constraint import relative_violation
from search.objective.smoothness import beside_noise, regularised_loss
from search.objective.term import LatencyTerm

EVALUATED = 256  # images of the architecture half that an epoch's accuracy is taken on
_AT_ONCE = 128  # of them: most of a forward pass is starting kernels, however few images there are


@dataclass(frozen=True, kw_only=True)
class SearchData:
    """Disjoint halves of the training set."""

    weights: Examples
    alphas: Examples


class SearchLoop:
    """Runs a search from wherever it is to its end.

    Args:
        run: the state; changed in place.
        recipe: the schedule.
        data: the two halves.
        latency: expected latency of the exported network, or None to search without a budget.
        paths: the problem, to go on with single paths behind the search; None ends with it.
    """

    def __init__(
        self,
        run: SearchRun,
        recipe: SearchRecipe,
        data: SearchData,
        latency: LatencyTerm | None,
        paths: SearchProblem[Any] | None = None,
    ) -> None:
        self.run = run
        self.recipe = recipe
        self.data = data
        self.latency = latency
        self.epochs = recipe.epochs + (recipe.path_epochs if paths is not None else 0)
        self.augmentation = Augmentation(shift=recipe.shift, flip=recipe.flip)
        self.budget_ms = run.request.tightened_ms
        self._gradients = GradientSource(data.weights.images.device)
        self._mixed_paths: MixedPaths | None = None
        if recipe.relaxation is Relaxation.MIXED_PATH:
            self._mixed_paths = MixedPaths(recipe, run.alphas.parameters(), latency)
        self._step = 0  # weight steps of the present epoch, for messages
        self._problem = paths
        self._paths: Iterator[list[Tensor]] = iter(())  # of the present epoch

    def train(self, checkpoint: Path, progress: Progress) -> None:
        """Run all epochs that are left, with a checkpoint after each.

        Raises:
            TrainingDivergedError: the loss is no longer finite.
            ValueError: the checkpoint is of another request.
        """
        if (state := resume_point(checkpoint)) is not None:
            self.run.load_state_dict(state)
        while self.run.epoch < self.epochs:
            started = time.perf_counter()
            event = self._epoch()
            self.run.epoch += 1
            self.run.history.append(event)
            save_checkpoint(checkpoint, self.run.state_dict())
            progress.report({**event, "seconds": round(time.perf_counter() - started, 3)})

    def _epoch(self) -> dict[str, Any]:
        """Train one epoch and return what happened."""
        epoch = self.run.epoch
        stage = self._enter_epoch()
        losses = []
        alpha_batches = self._alpha_batches()
        steps = self._steps_per_epoch()
        second_order = self.recipe.second_order
        for index, (images, labels) in enumerate(self._weight_batches(steps)):
            self._step = index + 1
            due, position = self._alpha_is_due(stage, index), epoch + index / steps
            with training_step():
                if due and second_order:  # the step that they look ahead to is the one that follows
                    self._alpha_step(*next(alpha_batches), position, (images, labels))
                losses.append(self._weight_step(stage, index / steps, images, labels))
                if due and not second_order:
                    self._alpha_step(*next(alpha_batches), position)
        trained = [*self.run.supernet.parameters(), *self.run.alphas.parameters()]
        check_finite(trained, "search", epoch + 1)
        return self._summary(stage, sum(losses) / len(losses))

    def _enter_epoch(self) -> Stage:
        """Set mode and density of every layer for the epoch that begins."""
        run = self.run
        stage = enter_epoch(run.supernet, self.recipe, run.request, run.epoch)
        if stage is Stage.PATHS:
            assert self._problem is not None
            self._paths = single_paths(self._problem, run.epoch)
        run.supernet.train()
        return stage

    def _weight_step(self, stage: Stage, share: float, images: Tensor, labels: Tensor) -> float:
        """Step weights, or scores in their stage, on the half that belongs to them."""
        optimizer = self._optimizer(stage, share)
        parameters = optimizer.param_groups[0]["params"]
        mixture = next(self._paths) if stage is Stage.PATHS else self._mixture()
        inputs = [images, labels, *(part.to(images.device) for part in mixture)]
        step = self._gradients("weights", self._state(stage), self._task_loss, inputs, parameters)
        for parameter, gradient in zip(parameters, step.gradients, strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(parameters, self.recipe.clip_norm)
        optimizer.step()
        leave_by_rule(self.run.supernet, self.recipe, stage, optimizer.param_groups[0]["lr"])
        return self._finite(step.loss)

    def _optimizer(self, stage: Stage, share: float) -> torch.optim.SGD:
        """Return what steps the weights, or the scores in their stage, at its present rate."""
        scores = trains_scores(self.recipe, stage)
        optimizer = self.run.score_optimizer if scores else self.run.weight_optimizer
        optimizer.param_groups[0]["lr"] = learning_rate(self.recipe, self.run.epoch, share)
        return optimizer

    def _alpha_step(
        self, images: Tensor, labels: Tensor, position: float, ahead: Batch | None = None
    ) -> None:
        """Step the architecture on its own half: task, regulariser, latency constraint.

        With `ahead`, the batch of the coming weight step, the task's gradient is of second order.
        """
        run, done = self.run, position / self.recipe.epochs
        tables: list[Tensor] = list(run.alphas.parameters())
        logits = logits_of(tables, self.recipe.relaxation)
        task = self._task_gradients((images, labels), position - run.epoch, ahead)
        terms = self.recipe.beta_weight * done * beta_regulariser(logits)
        if self.latency is not None and self.recipe.constrained:
            violation = self._violation(logits, done)
            terms = terms + run.dual.term(violation)
            run.dual.ascend(float(violation.detach()))
        mixture = mixture_of(tables, self.recipe.relaxation)
        felt = [gradient.to(tables[0].device) for gradient in task.gradients]
        gradients = torch.autograd.grad([*mixture, terms], tables, [*felt, torch.ones_like(terms)])
        for table, gradient in zip(tables, gradients, strict=True):
            table.grad = gradient
        run.alpha_optimizer.step()
        if self._mixed_paths is not None:
            self._mixed_paths.step()
        self._finite(task.loss + float(terms.detach()))

    def _task_gradients(self, batch: Batch, share: float, ahead: Batch | None) -> StepGradients:
        """Return the loss on images of the architecture half, and its gradient by the mixture."""
        stage, _, _ = stage_of(self.recipe, self.run.epoch)
        state = self._state(stage)
        mixture = [part.requires_grad_() for part in self._mixture()]
        if ahead is None:
            return self._gradients("alphas", state, self._task_loss, [*batch, *mixture], ())

        def run_pass(kind: str, inputs: list[Tensor], parameters: list[Tensor]) -> StepGradients:
            return self._gradients(kind, state, self._task_loss, inputs, parameters)

        return unrolled_gradients(run_pass, self._optimizer(stage, share), ahead, batch, mixture)

    def _task_loss(self, images: Tensor, labels: Tensor, *mixture: Tensor) -> Tensor:
        with mixed_precision(images.device):
            logits = self.run.supernet(images, *mixture).float()
        if len(images) > len(labels):  # noisy ones behind them
            return regularised_loss(logits, labels, self.recipe.smoothness)
        return F.cross_entropy(logits, labels)

    def _mixture(self) -> list[Tensor]:
        """Return how the supernet mixes operations now, on its device, cut off from the alphas."""
        device = self.data.weights.images.device
        tables = [table.detach() for table in self.run.alphas.parameters()]
        return [part.to(device) for part in mixture_of(tables, self.recipe.relaxation)]

    def _state(self, stage: Stage) -> Hashable:
        """Return what a pass depends on beside values: in the scores stage how much is kept."""
        return stage, self.run.epoch if stage is Stage.SCORES else None

    def _violation(self, logits: list[Tensor], done: float) -> Tensor:
        """Return how far the derived network is over the budget, with a smooth gradient.

        The value is that of the derived network: the mixture early in a search costs something
        else, and a multiplier that follows it drives the derived network far below the budget.
        """
        assert self.latency is not None
        soft = self.latency(logits, temperature(self.recipe, done))
        gap = self.latency.derived_ms(logits) - soft.detach()
        return relative_violation(soft + gap, self.budget_ms)

    def _summary(self, stage: Stage, train_loss: float) -> dict[str, Any]:
        epoch = self.run.epoch + 1
        latency_ms = None
        if self.latency is not None:
            tables = self.run.alphas.parameters()
            latency_ms = self.latency.derived_ms(logits_of(tables, self.recipe.relaxation))
        return {
            "phase": stage.value,
            "epoch": epoch,
            "epochs": self.epochs,
            "train_loss": train_loss,
            # Of the mixture, which the stage of single paths does not train.
            "valid_accuracy": None if stage is Stage.PATHS else self.accuracy(),
            "expected_latency_ms": latency_ms,
            "budget_ms": self.budget_ms,
            "multiplier": self.run.dual.multiplier,
            "density": density_of(self.run.supernet),
        }

    @torch.no_grad()
    def accuracy(self) -> float:
        """Return the share of right answers of the supernet on images of the alpha half."""
        mixture = self._mixture()
        seen = torch.split(self.data.weights.sample(EVALUATED).images, _AT_ONCE)
        judged = self.data.alphas.sample(EVALUATED)
        images = torch.split(judged.images, _AT_ONCE)
        with training_step():
            restate_norms(self.run.supernet, lambda part: self.run.supernet(part, *mixture), seen)
            supernet = self.run.supernet.eval()
            answers = torch.cat([supernet(part, *mixture).argmax(dim=1) for part in images])
        return float((answers == judged.labels).float().mean())

    def _steps_per_epoch(self) -> int:
        available = max(1, len(self.data.weights) // self.recipe.batch_size)
        return min(available, self.recipe.steps_per_epoch or available)

    def _weight_batches(self, steps: int) -> Iterator[Batch]:
        generator = seeded_generator(self.run.request.seed, "weights", self.run.epoch)
        return itertools.islice(self._batches(self.data.weights, generator), steps)

    def _alpha_batches(self) -> Iterator[Batch]:
        """Yield batches of the alpha half without end, in a new order after each pass."""
        for turn in itertools.count():
            generator = seeded_generator(
                self.run.request.seed, "architecture", self.run.epoch, turn
            )
            # Moved as the training images are: the loss stays informative for longer.
            yield from self._batches(self.data.alphas, generator)

    def _batches(self, examples: Examples, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of one pass, with noisy images behind them where those are wanted."""
        recipe = self.recipe
        found = batches(examples, recipe.batch_size, generator, self.augmentation)
        stage, _, _ = stage_of(recipe, self.run.epoch)
        if recipe.smoothness == 0.0 or stage is Stage.DENSE:
            return found
        noise = recipe.smoothness_noise
        return ((beside_noise(images, noise, generator), labels) for images, labels in found)

    def _alpha_is_due(self, stage: Stage, index: int) -> bool:
        recipe = self.recipe
        rests = stage is Stage.PATHS or (stage is Stage.SCORES and not recipe.alphas_in_scores)
        warm = self.run.epoch >= recipe.warmup_epochs
        return warm and not rests and (index + 1) % recipe.weights_per_alpha == 0

    def _finite(self, loss: Tensor) -> float:
        return finite_loss(loss, "search", self.run.epoch + 1, self._step)
