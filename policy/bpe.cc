#include "policy/bpe.h"

#include <array>
#include <functional>
#include <limits>
#include <queue>
#include <tuple>

namespace evilmoe {
namespace {

constexpr size_t kShort = 32;  // up to here scanning all pairs beats a heap
constexpr int32_t kNone = -1;
constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();

struct Symbol {
  int32_t id;  // kNone: merged into its left neighbour
  int32_t previous;
  int32_t next;
};

struct Candidate {
  int32_t rank;
  int32_t position;
  int32_t left;  // the pair when it was found: a candidate whose pair has changed since is stale
  int32_t right;
  int32_t merged;

  bool operator>(const Candidate& other) const {
    return std::tie(rank, position) > std::tie(other.rank, other.position);
  }
};

}  // namespace

void BpeMerges::Add(int32_t left, int32_t right, int32_t merged, int32_t rank) {
  const uint64_t key = (uint64_t{static_cast<uint32_t>(left)} << 32) | static_cast<uint32_t>(right);
  rules_[key] = {rank, merged};
}

const BpeMerges::Rule* BpeMerges::Find(int32_t left, int32_t right) const {
  const uint64_t key = (uint64_t{static_cast<uint32_t>(left)} << 32) | static_cast<uint32_t>(right);
  const auto found = rules_.find(key);
  return found == rules_.end() ? nullptr : &found->second;
}

void BpeMerges::Apply(std::span<const int32_t> piece, std::vector<int32_t>& out) const {
  if (piece.size() <= kShort) {
    ApplyShort(piece, out);
  } else {
    ApplyLong(piece, out);
  }
}

void BpeMerges::ApplyShort(std::span<const int32_t> piece, std::vector<int32_t>& out) const {
  std::array<int32_t, kShort> ids{};
  std::array<Rule, kShort> rules{};  // rules[i]: of the pair (i, i + 1)
  size_t size = piece.size();
  const auto refresh = [&](size_t i) {
    const Rule* rule = i + 1 < size ? Find(ids[i], ids[i + 1]) : nullptr;
    rules[i] = rule == nullptr ? Rule{kNoRank, kNone} : *rule;
  };
  for (size_t i = 0; i < size; ++i) ids[i] = piece[i];
  for (size_t i = 0; i < size; ++i) refresh(i);
  while (size > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < size; ++i) {
      if (rules[i].rank < rules[best].rank) best = i;
    }
    if (rules[best].rank == kNoRank) break;
    ids[best] = rules[best].merged;
    for (size_t i = best + 1; i + 1 < size; ++i) {
      ids[i] = ids[i + 1];
      rules[i] = rules[i + 1];
    }
    --size;
    refresh(best);
    if (best > 0) refresh(best - 1);
  }
  out.insert(out.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(size));
}

void BpeMerges::ApplyLong(std::span<const int32_t> piece, std::vector<int32_t>& out) const {
  const auto size = static_cast<int32_t>(piece.size());
  std::vector<Symbol> symbols(piece.size());
  for (int32_t i = 0; i < size; ++i) symbols[i] = {piece[i], i - 1, i + 1 < size ? i + 1 : kNone};

  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto offer = [&](int32_t position) {
    if (position == kNone || symbols[position].next == kNone) return;
    const int32_t left = symbols[position].id;
    const int32_t right = symbols[symbols[position].next].id;
    if (const Rule* rule = Find(left, right)) candidates.push({rule->rank, position, left, right, rule->merged});
  };
  for (int32_t i = 0; i < size; ++i) offer(i);
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    Symbol& left = symbols[best.position];
    if (left.id != best.left || left.next == kNone || symbols[left.next].id != best.right) continue;
    Symbol& right = symbols[left.next];
    left.id = best.merged;
    left.next = right.next;
    right.id = kNone;
    if (left.next != kNone) symbols[left.next].previous = best.position;
    offer(left.previous);
    offer(best.position);
  }
  for (int32_t i = 0; i != kNone && i < size; i = symbols[i].next) out.push_back(symbols[i].id);
}

}  // namespace evilmoe
