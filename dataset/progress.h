#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace evilmoe {

// Shows how far a long piece of work is: a bar that redraws itself on a terminal, else a line now and then.
// Thread-safe.
class Progress {
 public:
  // Both must outlive it. `total` >= 1.
  Progress(std::string what, size_t total, bool terminal, std::ostream& out, const Clock& clock);
  // Leaves the bar whole, on a line of its own.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // One more is done. `note` stands behind the numbers ("110 kept").
  void Step(const std::string& note) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Show(const std::string& note) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string what_;
  const size_t total_;
  const bool terminal_;
  const Clock& clock_;
  const absl::Time start_;
  Mutex mu_;
  std::ostream& out_ ABSL_GUARDED_BY(mu_);
  size_t done_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time shown_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

// "[######..............]" of 20 characters; `done` of `total`.
std::string ProgressBar(size_t done, size_t total);

}  // namespace evilmoe
