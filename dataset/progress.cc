#include "dataset/progress.h"

#include <algorithm>
#include <ostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace evilmoe {
namespace {

constexpr size_t kBarWidth = 20;
constexpr absl::Duration kRedrawEvery = absl::Milliseconds(100);
constexpr absl::Duration kLineEvery = absl::Seconds(10);

std::string MinutesAndSeconds(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
}

}  // namespace

std::string ProgressBar(size_t done, size_t total) {
  const size_t filled = kBarWidth * std::min(done, total) / total;
  return absl::StrCat("[", std::string(filled, '#'), std::string(kBarWidth - filled, '.'), "]");
}

Progress::Progress(std::string what, size_t total, bool terminal, std::ostream& out, const Clock& clock)
    : what_(std::move(what)), total_(total), terminal_(terminal), clock_(clock), start_(clock.Now()), out_(out) {}

Progress::~Progress() {
  const MutexLock lock(mu_);
  if (terminal_ && done_ > 0) out_ << std::endl;
}

void Progress::Step(const std::string& note) {
  const MutexLock lock(mu_);
  ++done_;
  const absl::Time now = clock_.Now();
  if (done_ < total_ && now - shown_ < (terminal_ ? kRedrawEvery : kLineEvery)) return;
  shown_ = now;
  Show(note);
}

void Progress::Show(const std::string& note) {
  const absl::Duration taken = clock_.Now() - start_;
  const absl::Duration left = taken / static_cast<double>(done_) * static_cast<double>(total_ - done_);
  const std::string text =
      absl::StrCat(what_, " ", done_, "/", total_, ", ", note, ", ", MinutesAndSeconds(taken),
                   done_ < total_ ? absl::StrCat(", about ", MinutesAndSeconds(left), " left") : "");
  if (terminal_) {
    out_ << "\r\x1b[K" << ProgressBar(done_, total_) << " " << text
         << std::flush;  // erases what is left of the line before
  } else {
    out_ << text << std::endl;
  }
}

}  // namespace evilmoe
