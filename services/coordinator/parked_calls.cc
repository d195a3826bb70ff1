#include "services/coordinator/parked_calls.h"

namespace evilmoe {

void ParkedCalls::Wake(const std::string& topic, const std::function<bool()>& go_on) {
  const auto found = calls_.find(topic);
  if (found == calls_.end()) return;
  std::list<Call>& calls = found->second;
  for (auto call = calls.begin(); call != calls.end() && go_on();) {
    const bool gone = call->gone && call->gone();
    if (gone) call->give_up();
    call = gone || call->attempt() ? calls.erase(call) : std::next(call);
  }
  if (calls.empty()) calls_.erase(found);
}

void ParkedCalls::GiveUp(absl::Time now) {
  for (auto topic = calls_.begin(); topic != calls_.end();) {
    std::list<Call>& calls = topic->second;
    for (auto call = calls.begin(); call != calls.end();) {
      const bool over = call->deadline <= now || (call->gone && call->gone());
      if (over) call->give_up();
      call = over ? calls.erase(call) : std::next(call);
    }
    topic = calls.empty() ? calls_.erase(topic) : std::next(topic);
  }
}

size_t ParkedCalls::size() const {
  size_t count = 0;
  for (const auto& [topic, calls] : calls_) count += calls.size();
  return count;
}

}  // namespace evilmoe
