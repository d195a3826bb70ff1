#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "grader_sandbox/value.h"

namespace evilmoe {

// A second reading of what a run writes, by the comments of run_request.h and value_codec.cc and without their code: it
// makes no values, it compares bytes with expected ones where they lie.

using FrameBytes = std::pair<char, std::string>;  // type, payload

// The frames up to the first that is none, whether there is such a one, and not what is cut off at the end.
struct CutStream {
  std::vector<FrameBytes> frames;
  bool broken = false;
  bool operator==(const CutStream&) const = default;
};
CutStream CutFrames(std::string_view stream, size_t max_frame_bytes);

// True when `bytes` are one whole value that equals `expected` by Python's ==. Floats in `expected` are at most 2**64
// in size or infinite.
bool HoldsEqual(std::string_view bytes, const Value& expected);

// True when the frames begin with a run that returned all of `expected`, in order, with nothing in between.
bool ReturnsAll(const std::vector<FrameBytes>& frames, const std::vector<Value>& expected);

}  // namespace evilmoe
