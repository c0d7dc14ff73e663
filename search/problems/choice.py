"""Which problem a request is: the type of its space decides."""

from typing import Any

from search.engine.problem import SearchProblem
from search.problems.cells import CellProblem
from search.problems.stages import StageProblem
from search.requests import SearchRequest
from search.space.stage_space import StageSpace
from search.space.task import TaskShape


def problem_of(request: SearchRequest, task: TaskShape) -> SearchProblem[Any]:
    """Return what `request` searches, for the task of its data set."""
    space = request.search_space(task)
    if isinstance(space, StageSpace):
        return StageProblem(request=request, space=space)
    return CellProblem(request=request, space=space)
