#include "grader_sandbox/fair_queue.h"

#include <algorithm>

namespace evilmoe {

void FairQueue::Push(uint64_t ticket, const std::string& caller, double came_s, double expected_s) {
  const double rank = came_s - expected_s;
  std::set<Place>& waiting = by_caller_[caller];
  if (waiting.empty()) turns_.push_back(caller);
  waiting.emplace(rank, ticket);
  places_.emplace(ticket, std::pair(caller, rank));
}

std::optional<uint64_t> FairQueue::Pop() {
  if (turns_.empty()) return std::nullopt;
  const std::string caller = turns_.front();
  const uint64_t ticket = by_caller_[caller].begin()->second;
  Remove(ticket);
  if (by_caller_.contains(caller)) {  // its next turn is behind all others
    turns_.pop_front();
    turns_.push_back(caller);
  }
  return ticket;
}

bool FairQueue::Remove(uint64_t ticket) {
  const auto found = places_.find(ticket);
  if (found == places_.end()) return false;
  const auto [caller, rank] = found->second;
  places_.erase(found);
  std::set<Place>& waiting = by_caller_[caller];
  waiting.erase({rank, ticket});
  if (waiting.empty()) Drop(caller);
  return true;
}

void FairQueue::Drop(const std::string& caller) {
  by_caller_.erase(caller);
  turns_.erase(std::find(turns_.begin(), turns_.end(), caller));
}

}  // namespace evilmoe
