#include "panels.h"

#include <algorithm>
#include <stdexcept>

namespace edgewright {
namespace {

constexpr double kCostOfTail1 = 0.25;      // of a vector; in instructions
constexpr double kCostOfTail4 = 0.6;
constexpr size_t kGroupBytes = 64 * 1024;  // input that a group of panels may read

uint32_t lanes_for(const InstructionSet& set, size_t pixels) {
  if (pixels >= set.lanes) return set.lanes;
  return pixels >= 4 ? 4 : 1;
}

size_t max_vectors(const Layer& layer, const InstructionSet& set, uint32_t lanes) {
  if (lanes == 1) return 1;
  if (lanes < set.lanes) return set.lanes / lanes;
  return layer.rows == 1 ? set.max_vectors_single : set.max_vectors_block;
}

struct Place {
  size_t input;
  size_t output;
};

std::vector<Place> cover(const Run& run, uint32_t lanes) {
  std::vector<Place> places;
  for (size_t i = 0; i < run.count; ++i) {
    for (size_t start = 0; start < run.length; start += lanes) {
      const size_t inside = std::min(start, run.length - lanes);
      places.push_back({i * run.input_stride + inside, i * run.length + inside});
    }
  }
  return places;
}

Form form_of(const Place* places, size_t count, uint32_t lanes) {
  for (size_t i = 1; i < count; ++i) {
    if (places[i].input != places[0].input + i * lanes) return Form::kScattered;
    if (places[i].output != places[0].output + i * lanes) return Form::kScattered;
  }
  return Form::kFlat;
}

// The form of the last panel when one or four pixels are left over behind whole vectors.
Form tail_form(const Layer& layer, const InstructionSet& set, const Run& run) {
  const bool possible = run.count == 1 && run.length > set.lanes && layer.rows > 1 &&
                        set.max_vectors_tail > 0 && !layer.relu_direct();
  const size_t left = run.length % set.lanes;
  if (possible && left == 1) return Form::kFlatPlus1;
  // Of eight lanes a vector costs no more: 1 to 3 % less at 14x14 on a Zen 3.
  if (possible && left == 4 && set.lanes > 8) return Form::kFlatPlus4;
  return Form::kFlat;
}

// Adds a panel to the last group, or to a new one when that has another kernel or is full.
void add_panel(const Layer& layer, KernelFunction kernel, const Panel& panel, size_t pixels,
               Panels& result) {
  if (kernel == nullptr) throw std::logic_error("no kernel for this panel");
  const size_t bytes =
      size_t{layer.in_channels} * layer.window.size[0] * pixels * sizeof(float);
  const size_t limit = std::max<size_t>(1, kGroupBytes / bytes);
  const bool fits = !result.groups.empty() && result.groups.back().kernel == kernel &&
                    result.groups.back().count < limit;
  if (!fits) result.groups.push_back({kernel, result.panels.size(), 0});
  ++result.groups.back().count;
  result.panels.push_back(panel);
}

// `last_form`: of the last panel, when that has a tail.
void add_places(const Layer& layer, const InstructionSet& set, const std::vector<Place>& places,
                uint32_t lanes, Form last_form, Panels& result) {
  const bool has_tail = last_form != Form::kFlat;
  const size_t most = max_vectors(layer, set, lanes);
  size_t num_panels = (places.size() + most - 1) / most;
  // The last panel has the fewest vectors.
  if (has_tail && places.size() / num_panels > set.max_vectors_tail) ++num_panels;
  const Place* next = places.data();
  for (size_t i = 0; i < num_panels; ++i) {
    const size_t vectors = places.size() / num_panels + (i < places.size() % num_panels ? 1 : 0);
    const bool last = i + 1 == num_panels;
    const Form form = last && has_tail ? last_form : form_of(next, vectors, lanes);
    Panel panel{};
    for (size_t v = 0; v < vectors; ++v, ++next) {
      panel.input[v] = static_cast<uint32_t>(next->input);
      panel.output[v] = static_cast<uint32_t>(next->output);
    }
    const auto count = static_cast<uint32_t>(vectors);
    add_panel(layer, set.find({lanes, layer.rows, count, form, layer.relu_direct()}), panel,
              vectors * lanes, result);
  }
}

// Runs that are cut out of rows of `input_stride` elements, as one line of elements with gaps.
struct Line {
  const Run& run;

  size_t elements() const { return (run.count - 1) * run.input_stride + run.length; }
  // Pixels before an element, and the element of a pixel.
  size_t pixels_before(size_t element) const {
    return element / run.input_stride * run.length +
           std::min(element % run.input_stride, run.length);
  }
  size_t element_of(size_t pixel) const {
    return pixel / run.length * run.input_stride + pixel % run.length;
  }
};

// Sets where the vectors of a panel are stored and what is picked for each; false when the last
// two of them hold too few pixels to fill one.
bool pick_pixels(const Line& line, size_t lanes, size_t vectors, Panel& panel, Panels& result) {
  const size_t start = panel.input[0];
  const size_t end = line.pixels_before(std::min(start + vectors * lanes, line.elements()));
  const size_t before = start + (vectors - 2) * lanes;  // the vector before the last one
  if (end < lanes || line.element_of(end - lanes) < before) return false;
  panel.picks = static_cast<uint32_t>(result.picks.size());
  for (size_t v = 0; v < vectors; ++v) {
    const bool last = v + 1 == vectors;
    const size_t own = start + v * lanes;
    const size_t origin = v == 0 ? own : own - lanes;  // element of index 0
    const size_t first = last ? end - lanes : line.pixels_before(own);
    panel.input[v] = static_cast<uint32_t>(own);
    panel.output[v] = static_cast<uint32_t>(first);
    for (size_t lane = 0; lane < lanes; ++lane) {
      const size_t index = line.element_of(first + lane) - origin;
      // What lies beyond is overwritten by the next vector.
      result.picks.push_back(index < 2 * lanes ? static_cast<int32_t>(index) : 0);
    }
  }
  return true;
}

}  // namespace

double vectors_of_run(const Layer& layer, const InstructionSet& set, size_t length) {
  const Form form = tail_form(layer, set, {length, 1, 0});
  const auto whole = static_cast<double>(length / set.lanes);
  if (form == Form::kFlatPlus1) return whole + kCostOfTail1;
  if (form == Form::kFlatPlus4) return whole + kCostOfTail4;
  return whole + (length % set.lanes > 0 ? 1.0 : 0.0);
}

Panels make_panels(const Layer& layer, const InstructionSet& set, const Run& run) {
  const uint32_t lanes = lanes_for(set, run.length);
  const Form last_form = tail_form(layer, set, run);
  const bool has_tail = last_form != Form::kFlat;
  const Run whole{run.length / lanes * lanes, 1, 0};
  Panels result;
  add_places(layer, set, cover(has_tail ? whole : run, lanes), lanes, last_form, result);
  return result;
}

std::optional<Panels> make_panels_with_gaps(const Layer& layer, const InstructionSet& set,
                                            const Run& run) {
  const Line line{run};
  const size_t lanes = set.lanes;
  const size_t total = (line.elements() + lanes - 1) / lanes;
  const size_t most = max_vectors(layer, set, set.lanes);
  const size_t num_panels = (total + most - 1) / most;
  if (total / num_panels < 2) return std::nullopt;
  Panels result;
  size_t start = 0;
  for (size_t i = 0; i < num_panels; ++i) {
    const size_t vectors = total / num_panels + (i < total % num_panels ? 1 : 0);
    const size_t size = vectors * lanes;
    // The last panel ends with the line, where it can.
    if (i + 1 == num_panels && line.elements() >= size) start = line.elements() - size;
    Panel panel{};
    panel.input[0] = static_cast<uint32_t>(start);
    if (!pick_pixels(line, lanes, vectors, panel, result)) return std::nullopt;
    const auto count = static_cast<uint32_t>(vectors);
    add_panel(layer, set.find({set.lanes, layer.rows, count, Form::kGaps, false}), panel, size,
              result);
    start += size;
  }
  return result;
}

Panels make_panels_of_positions(const Layer& layer, const InstructionSet& set,
                                const std::vector<size_t>& runs, const Run& rows) {
  const Line line{rows};
  const size_t pixels = rows.length * rows.count;
  Panels result;
  std::vector<Place> places;
  size_t done = 0;
  for (const size_t number : runs) {
    const size_t begin = number * kRunPixels;
    if (begin > done) result.filled.push_back({done, begin});
    done = std::min(begin + kRunPixels, pixels);
  }
  if (pixels > done) result.filled.push_back({done, pixels});
  // Whole vectors first; a last run that is shorter takes narrower ones for what is left.
  std::vector<size_t> next(runs.size());
  for (size_t i = 0; i < runs.size(); ++i) next[i] = runs[i] * kRunPixels;
  for (const uint32_t lanes : {set.lanes, 4u, 1u}) {
    places.clear();
    for (size_t i = 0; i < runs.size(); ++i) {
      const size_t end = std::min((runs[i] + 1) * kRunPixels, pixels);
      for (; next[i] + lanes <= end; next[i] += lanes) {
        places.push_back({line.element_of(next[i]), next[i]});
      }
    }
    if (!places.empty()) add_places(layer, set, places, lanes, Form::kFlat, result);
  }
  return result;
}

}  // namespace edgewright
