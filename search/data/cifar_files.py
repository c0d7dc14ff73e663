"""The files of both official layouts of CIFAR-10. No torch: the API looks whether they are there."""

TRAIN_FILES = tuple(f"data_batch_{index}" for index in range(1, 6))
TEST_FILE = "test_batch"
BINARY = ".bin"  # what the names end in where the files are no Python batches
CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
