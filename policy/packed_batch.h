#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <vector>

namespace evilmoe {

// A run of tokens that is forwarded once. A segment with a prefix attends to all of that (root) segment and to
// itself up to each token; a root attends to itself alone. So the samples of a group share one prompt pass.
struct Segment {
  std::vector<int32_t> ids;
  int prefix = -1;  // index of an earlier root segment, or -1
};

// Segments whose attention runs as one padded call: roots of like length, or all children of one root.
struct AttentionBucket {
  int prefix = -1;            // segment, or -1 for roots
  int64_t count = 0;          // segments
  int64_t length = 0;         // padded
  int64_t padded_begin = 0;   // first row in the padded order
  std::vector<int> segments;  // in order
};

// N tokens of S segments without padding, in segment order, with what attention needs to pad them by the bucket.
// All tensors on one device, which must be the weights'.
// Legend: N packed rows, M padded rows.
struct PackedBatch {
  std::vector<Segment> segments;
  std::vector<int64_t> begin;  // (S) first packed row of each segment
  at::Tensor ids_N;            // int64
  at::Tensor positions_N;      // int64, from the start of the prefix
  at::Tensor padded_from_M;    // int64: packed row that each padded row copies (padding repeats a row)
  at::Tensor packed_from_N;    // int64: padded row that each packed row comes back from
  std::vector<AttentionBucket> buckets;

  int64_t num_tokens() const { return ids_N.numel(); }
  // Packed rows of one segment.
  int64_t segment_begin(int s) const { return begin[static_cast<size_t>(s)]; }
  int64_t segment_length(int s) const { return static_cast<int64_t>(segments[static_cast<size_t>(s)].ids.size()); }
};

// Requires non-empty ids in every segment and prefixes that name earlier roots. `device`: where the weights are.
PackedBatch Pack(std::vector<Segment> segments, c10::Device device = c10::kCPU);

}  // namespace evilmoe
