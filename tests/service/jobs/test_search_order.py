"""What a job keeps of an order becomes what the trainer is asked; orders of before still do."""

from search.space.task import TaskShape
from service.datasets.use_cases import Dataset
from service.jobs.schemas import SearchCreate
from service.jobs.search_order import search_request

DATASET = Dataset(
    name="digits",
    format="digits",
    path="",
    task=TaskShape(image_channels=1, image_size=16, classes=10),
)


def test_the_rule_for_densities_reaches_the_trainer() -> None:
    order = SearchCreate(device="board", budget_ms=0.5, densities="budget").model_dump()
    assert search_request(order, DATASET).densities == "budget"


def test_an_order_without_later_fields_is_what_it_was() -> None:
    order = SearchCreate(device="board", budget_ms=0.5, densities="planned").model_dump()
    older = {name: order[name] for name in order if name not in ("space", "seeds", "densities")}
    assert search_request(older, DATASET) == search_request(order, DATASET)
