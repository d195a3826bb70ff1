#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace evilmoe {

// Whose work is next: callers take turns, and within a caller the one that has waited longest is first, where work
// counts as having waited as long as it is expected to take on top. So what takes long starts early, and nothing
// starves. Not thread-safe; no clock.
class FairQueue {
 public:
  // `came_s`: seconds on any clock. `expected_s` >= 0. `ticket` is not in here yet.
  void Push(uint64_t ticket, const std::string& caller, double came_s, double expected_s);
  std::optional<uint64_t> Pop();
  // False: it is not in here.
  bool Remove(uint64_t ticket);
  size_t size() const { return places_.size(); }

 private:
  using Place = std::pair<double, uint64_t>;  // when it counts as come, and its ticket
  void Drop(const std::string& caller);

  std::map<std::string, std::set<Place>> by_caller_;  // none is empty
  std::deque<std::string> turns_;                     // each caller of by_caller_ once
  std::map<uint64_t, std::pair<std::string, double>> places_;
};

}  // namespace evilmoe
