#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "grader_sandbox/run_request.h"
#include "grader_sandbox/value.h"
#include "grader_sandbox/verdict.h"

namespace evilmoe {

// Reads the frames of one run and decides when it is over. Lives in the grader, sees what the run cannot.
class Judge {
 public:
  virtual ~Judge() = default;
  // Forgets everything: the run starts again.
  virtual void Reset() = 0;
  // The verdict once this frame settles it. InvalidArgument: not a frame that can come now. FailedPrecondition: the
  // problem's own code is broken.
  virtual absl::StatusOr<std::optional<Verdict>> OnFrame(const Frame& frame) = 0;
  // How many calls were answered, and rightly where that is asked; nullopt before the first could be made.
  virtual std::optional<int> calls_passed() const { return std::nullopt; }
};

// The frames that every kind of run begins with.
class StagedJudge : public Judge {
 public:
  void Reset() override { stage_ = Stage::kStart; }
  absl::StatusOr<std::optional<Verdict>> OnFrame(const Frame& frame) final;
  // compile() accepted the source; said before any untrusted code ran.
  bool compiled() const { return stage_ != Stage::kStart; }
  bool loaded() const { return stage_ == Stage::kLoaded; }

 protected:
  virtual absl::StatusOr<std::optional<Verdict>> OnTest(const Frame& frame);
  virtual absl::StatusOr<std::optional<Verdict>> OnResult(const Frame& frame) = 0;

 private:
  enum class Stage { kStart, kCompiled, kLoaded };
  Stage stage_ = Stage::kStart;
};

// Compares every value with the expected one, and stops at the first that differs.
class GroundTruthJudge final : public StagedJudge {
 public:
  // Both must outlive it. `expected` is not empty.
  GroundTruthJudge(const std::vector<Value>& expected, const Comparer& comparer)
      : expected_(expected), comparer_(comparer) {}
  void Reset() override;
  std::optional<int> calls_passed() const override {
    return loaded() ? std::optional(static_cast<int>(next_)) : std::nullopt;
  }

 protected:
  absl::StatusOr<std::optional<Verdict>> OnResult(const Frame& frame) override;

 private:
  const std::vector<Value>& expected_;
  const Comparer& comparer_;
  size_t next_ = 0;
  std::string values_;  // as they came, for the digest
};

// What the response's own test function says about itself: self-reported.
class TestFunctionJudge final : public StagedJudge {
 public:
  struct Found {
    bool found = false;
    bool is_method = false;
    std::string source;
  };
  void Reset() override;
  const Found& found() const { return found_; }

 protected:
  absl::StatusOr<std::optional<Verdict>> OnTest(const Frame& frame) override;
  absl::StatusOr<std::optional<Verdict>> OnResult(const Frame& frame) override;

 private:
  bool looked_ = false;
  Found found_;
};

// Whether a solution, run as a program, says that it reported what its channel is read for: self-reported.
class ScriptJudge final : public Judge {
 public:
  void Reset() override { compiled_ = false; }
  absl::StatusOr<std::optional<Verdict>> OnFrame(const Frame& frame) override;

 private:
  bool compiled_ = false;
};

// The values that a run returned, whatever they are.
class RecordingJudge final : public StagedJudge {
 public:
  explicit RecordingJudge(size_t num_calls) : num_calls_(num_calls) {}
  void Reset() override;
  std::optional<int> calls_passed() const override {
    return loaded() ? std::optional(static_cast<int>(values_.size())) : std::nullopt;
  }
  const std::vector<Value>& values() const { return values_; }

 protected:
  absl::StatusOr<std::optional<Verdict>> OnResult(const Frame& frame) override;

 private:
  const size_t num_calls_;
  std::vector<Value> values_;
};

}  // namespace evilmoe
