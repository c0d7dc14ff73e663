"""The library's sparse matrix product, and its fallback."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.lowering.fallbacks import fallback_function
from latency.lowering.library import compress
from latency.lowering.op_types import ACTIVATION_SUFFIXES
from tests.latency.kernels.problems import Array, assert_close, one_node_model, open_session
from tests.latency.kernels.reference import activate


@dataclass(frozen=True, kw_only=True)
class Product:
    """x (batch, inputs) times a sparse matrix (outputs, inputs)."""

    batch: int = 1
    inputs: int = 20
    outputs: int = 10
    rows: int = 4
    density: float = 0.3
    activation: str = ""
    seed: int = 0

    def arrays(self) -> tuple[Array, Array, Array]:
        """Return x, the matrix and the bias."""
        rng = np.random.default_rng(self.seed)
        x = rng.standard_normal((self.batch, self.inputs), dtype=np.float32)
        matrix = rng.standard_normal((self.outputs, self.inputs), dtype=np.float32)
        matrix *= rng.random(matrix.shape) < self.density
        return x, matrix, rng.standard_normal(self.outputs, dtype=np.float32)

    def model(self, *, fallback: bool = False) -> bytes:
        _, matrix, bias = self.arrays()
        values, indices = compress(matrix, self.rows)
        op_type = f"SparseGemm{self.activation}"
        return one_node_model(
            op_type,
            {"weight_shape": matrix.shape},
            {"values": values, "indices": indices, "bias": bias},
            {"x": (self.batch, self.inputs)},
            [fallback_function(op_type)] if fallback else [],
        )

    def expected(self) -> Array:
        x, matrix, bias = (array.astype(np.float64) for array in self.arrays())
        return activate(x @ matrix.T + bias, self.activation).astype(np.float32)


products = st.builds(
    Product,
    batch=st.integers(0, 5),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 40),
    rows=st.sampled_from([1, 4]),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    activation=st.sampled_from(ACTIVATION_SUFFIXES),
    seed=st.integers(0, 1000),
)


@settings(max_examples=100, deadline=None)
@given(product=products, threads=st.integers(1, 3))
def test_matches_reference(product: Product, threads: int) -> None:
    x, *_ = product.arrays()
    output = open_session(product.model(), threads=threads).run(None, {"x": x})[0]
    assert_close(np.asarray(output), product.expected())


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("density", [0.0, 0.3])
@pytest.mark.parametrize("activation", ACTIVATION_SUFFIXES)
def test_fallback_gives_the_same(rows: int, density: float, activation: str) -> None:
    product = Product(batch=3, rows=rows, density=density, activation=activation)
    x, *_ = product.arrays()
    for library in (True, False):
        session = open_session(product.model(fallback=True), library=library)
        assert_close(np.asarray(session.run(None, {"x": x})[0]), product.expected())


def test_input_of_another_width_is_an_error_that_names_the_node() -> None:
    product = Product()
    _, matrix, bias = product.arrays()
    values, indices = compress(matrix, 4)
    model = one_node_model(
        "SparseGemm",
        {"weight_shape": matrix.shape},
        {"values": values, "indices": indices, "bias": bias},
        {"x": ("n", "width")},
    )
    with pytest.raises(Exception, match=r"'the-node': input must have shape \(batch, 20\)"):
        open_session(model).run(None, {"x": np.zeros((1, 21), dtype=np.float32)})


def test_weight_shape_of_a_matrix_has_two_sizes() -> None:
    _, matrix, bias = Product().arrays()
    values, indices = compress(matrix, 4)
    model = one_node_model(
        "SparseGemm",
        {"weight_shape": [*matrix.shape, 1, 1]},
        {"values": values, "indices": indices, "bias": bias},
        {"x": (1, 20)},
    )
    with pytest.raises(Exception, match="'the-node': weight_shape must have 2 values, got 4"):
        open_session(model)
