#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace evilmoe {

// Long polls that wait for something to happen: no thread waits with them. Calls are grouped by what they wait for, the
// topic, and keep their order in it. Not thread-safe.
class ParkedCalls {
 public:
  struct Call {
    absl::Time deadline;
    std::function<bool()> gone;     // the caller has hung up; may be null
    std::function<bool()> attempt;  // true: it has been answered, or will be
    std::function<void()> give_up;  // answers it: the deadline is over, or it is gone
  };

  void Park(const std::string& topic, Call call) { calls_[topic].push_back(std::move(call)); }
  // Tries the topic's calls again, oldest first; `go_on` is asked before each.
  void Wake(const std::string& topic, const std::function<bool()>& go_on);
  // Gives up what is past its deadline or gone; all of it with absl::InfiniteFuture().
  void GiveUp(absl::Time now);
  size_t size() const;

 private:
  std::map<std::string, std::list<Call>> calls_;
};

}  // namespace evilmoe
