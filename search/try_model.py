"""Runs an exported model on a few test images as any user would: a plain ONNX Runtime session.

`python -m search.try_model MODEL --dataset digits --count 8` prints labels and predictions as JSON.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from search.data.datasets import load_dataset
from search.requests import DATASET_FORMATS, DatasetRef


def try_model(model: Path, reference: DatasetRef, count: int) -> dict[str, list[int]]:
    """Return `labels` and `predicted` of `count` test images spread over the test set.

    Raises:
        ValueError: the data set cannot be read.
    """
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    dataset = load_dataset(reference)
    chosen = np.linspace(0, len(dataset.test_labels) - 1, count).round().astype(int)
    images = dataset.test_images.numpy()[chosen]
    predicted = [int(np.argmax(session.run(None, {name: image[None]})[0])) for image in images]
    labels = dataset.test_labels.numpy()[chosen]
    return {"labels": [int(label) for label in labels], "predicted": predicted}


def main() -> None:
    """Read the order from the command line and write JSON to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--dataset", choices=DATASET_FORMATS, default="digits")
    parser.add_argument("--path", default="")
    parser.add_argument("--count", type=int, default=8)
    options = parser.parse_args()
    reference = DatasetRef(format=options.dataset, path=options.path)
    sys.stdout.write(json.dumps(try_model(options.model, reference, options.count)) + "\n")


if __name__ == "__main__":
    main()
