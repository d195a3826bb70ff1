#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace evilmoe {

// Byte-pair merges over token ids (Sennrich et al. 2016). Thread-safe once filled.
class BpeMerges {
 public:
  // `left` followed by `right` becomes `merged`; lower ranks go first. The last rule of a pair counts.
  void Add(int32_t left, int32_t right, int32_t merged, int32_t rank);

  // Merges one piece to the end, the lowest rank first and the leftmost of equal ones, and appends what remains to
  // `out`. O(n log n).
  void Apply(std::span<const int32_t> piece, std::vector<int32_t>& out) const;

 private:
  struct Rule {
    int32_t rank;
    int32_t merged;
  };
  const Rule* Find(int32_t left, int32_t right) const;
  void ApplyShort(std::span<const int32_t> piece, std::vector<int32_t>& out) const;
  void ApplyLong(std::span<const int32_t> piece, std::vector<int32_t>& out) const;

  absl::flat_hash_map<uint64_t, Rule> rules_;
};

}  // namespace evilmoe
