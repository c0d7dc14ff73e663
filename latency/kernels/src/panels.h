// Which output pixels are computed together: vectors, panels of vectors, groups of panels.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "layer.h"

namespace edgewright {

// Neighbouring panels that one kernel computes block by block; together they fit the first cache.
struct Group {
  KernelFunction kernel;
  size_t first;
  size_t count;
};

// Pixels [begin, end) of a tile.
struct Span {
  size_t begin;
  size_t end;
};

struct Panels {
  std::vector<Panel> panels;
  std::vector<Group> groups;
  std::vector<int32_t> picks;  // see Work
  std::vector<Span> filled;    // positions: what is not computed
};

// Output pixels whose inputs are neighbours, `count` times.
struct Run {
  size_t length;
  size_t count;
  size_t input_stride;  // elements from one run to the next in a prepared plane
};

// What one run costs, in vectors; a tail behind the last one costs a part of a vector.
double vectors_of_run(const Layer& layer, const InstructionSet& set, size_t length);

// Vectors cover each run; the last one of a run overlaps its neighbour instead of reading or
// writing past the end.
Panels make_panels(const Layer& layer, const InstructionSet& set, const Run& run);

// Vectors run on over what lies between the runs, which is dropped when results are stored.
// Nothing when there are too few pixels for that. May read `set.lanes` elements past the last run.
std::optional<Panels> make_panels_with_gaps(const Layer& layer, const InstructionSet& set,
                                            const Run& run);

// Only the runs of kRunPixels that are listed, numbers within the tile; `rows`: of the tile. Rows
// have no padding between them in a prepared plane, or are whole vectors.
Panels make_panels_of_positions(const Layer& layer, const InstructionSet& set,
                                const std::vector<size_t>& runs, const Run& rows);

}  // namespace edgewright
