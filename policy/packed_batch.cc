#include "policy/packed_batch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "common/status_macros.h"

namespace evilmoe {
namespace {

at::Tensor ToTensor(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

// Roots sorted by length, cut where padding would waste more than a fifth.
std::vector<AttentionBucket> RootBuckets(const std::vector<Segment>& segments) {
  std::vector<int> roots;
  for (size_t s = 0; s < segments.size(); ++s) {
    if (segments[s].prefix < 0) roots.push_back(static_cast<int>(s));
  }
  const auto length = [&](int s) { return static_cast<int64_t>(segments[static_cast<size_t>(s)].ids.size()); };
  std::stable_sort(roots.begin(), roots.end(), [&](int a, int b) { return length(a) > length(b); });
  std::vector<AttentionBucket> buckets;
  for (const int s : roots) {
    if (buckets.empty() || length(s) * 5 < buckets.back().length * 4) {
      buckets.push_back({.prefix = -1, .length = length(s)});
    }
    buckets.back().segments.push_back(s);
  }
  return buckets;
}

std::vector<AttentionBucket> ChildBuckets(const std::vector<Segment>& segments) {
  std::map<int, AttentionBucket> by_prefix;
  for (size_t s = 0; s < segments.size(); ++s) {
    const int prefix = segments[s].prefix;
    if (prefix < 0) continue;
    AttentionBucket& bucket = by_prefix[prefix];
    bucket.prefix = prefix;
    bucket.length = std::max(bucket.length, static_cast<int64_t>(segments[s].ids.size()));
    bucket.segments.push_back(static_cast<int>(s));
  }
  std::vector<AttentionBucket> buckets;
  buckets.reserve(by_prefix.size());
  for (auto& [prefix, bucket] : by_prefix) buckets.push_back(std::move(bucket));
  return buckets;
}

void FillPackedRows(PackedBatch& batch) {
  std::vector<int64_t> ids;
  std::vector<int64_t> positions;
  for (const Segment& segment : batch.segments) {
    EVILMOE_CHECK(!segment.ids.empty());
    batch.begin.push_back(static_cast<int64_t>(ids.size()));
    int64_t position = 0;
    if (segment.prefix >= 0) {
      EVILMOE_CHECK(batch.segments[static_cast<size_t>(segment.prefix)].prefix < 0);
      position = batch.segment_length(segment.prefix);
    }
    for (const int32_t id : segment.ids) {
      ids.push_back(id);
      positions.push_back(position++);
    }
  }
  batch.ids_N = ToTensor(ids);
  batch.positions_N = ToTensor(positions);
}

void FillPaddedRows(PackedBatch& batch) {
  std::vector<int64_t> padded_from;
  std::vector<int64_t> packed_from(static_cast<size_t>(batch.num_tokens()));
  for (AttentionBucket& bucket : batch.buckets) {
    bucket.count = static_cast<int64_t>(bucket.segments.size());
    bucket.padded_begin = static_cast<int64_t>(padded_from.size());
    for (const int s : bucket.segments) {
      const int64_t length = batch.segment_length(s);
      for (int64_t t = 0; t < bucket.length; ++t) {
        const int64_t row = batch.segment_begin(s) + std::min(t, length - 1);
        if (t < length) packed_from[static_cast<size_t>(row)] = static_cast<int64_t>(padded_from.size());
        padded_from.push_back(row);
      }
    }
  }
  batch.padded_from_M = ToTensor(padded_from);
  batch.packed_from_N = ToTensor(packed_from);
}

}  // namespace

PackedBatch Pack(std::vector<Segment> segments, c10::Device device) {
  PackedBatch batch;
  batch.segments = std::move(segments);
  FillPackedRows(batch);
  batch.buckets = RootBuckets(batch.segments);
  for (AttentionBucket& bucket : ChildBuckets(batch.segments)) batch.buckets.push_back(std::move(bucket));
  FillPaddedRows(batch);
  for (at::Tensor* t : {&batch.ids_N, &batch.positions_N, &batch.padded_from_M, &batch.packed_from_N}) {
    *t = t->to(device);
  }
  return batch;
}

}  // namespace evilmoe
