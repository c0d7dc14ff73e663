"""Say whether the operator library was built: `python -m latency.kernels`."""

from latency.kernels.library import library_path

if __name__ == "__main__":
    path = library_path()
    if path is None:
        print("operator library: not built (no C++ compiler?); models run dense, as their fallback")
    else:
        print(f"operator library: {path}")
