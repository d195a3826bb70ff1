#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/ground_truth_monitor.h"
#include "trainer/monitor.h"
#include "trainer/rollouts.h"
#include "trainer/run_config.h"
#include "trainer/training_model.h"

namespace evilmoe {

// The monitor that a run asks for, shown each step's samples. What its verdicts do is GradeStep's
// (trainer/graded_step.h).
class Monitoring {
 public:
  // Reads the probe's or the judge's files. `model` must outlive it. InvalidArgument, NotFound: what run.yaml names is
  // not usable.
  static absl::StatusOr<Monitoring> Make(const RunConfig& config, const TrainingModel& model,
                                         const std::filesystem::path& run_directory);

  // Nobody watches.
  static Monitoring None() { return Monitoring(0); }

  // One verdict a sample in order of group and sample, kNotAsked for a lost one; nothing at all without a monitor.
  // Unavailable: it could tell of no sample of the step. Else as Monitor::Watch.
  absl::StatusOr<std::vector<MonitorVerdict>> Watch(const BatchRequest& batch,
                                                    const std::vector<GroupSamples>& samples);
  // Monitor::LastCounts of it.
  std::map<std::string, int64_t> LastCounts() const;

 private:
  explicit Monitoring(uint64_t seed) : seed_(seed) {}
  std::vector<MonitoredSample> Views(const BatchRequest& batch, const std::vector<GroupSamples>& samples) const;

  uint64_t seed_;
  std::optional<GroundTruthMonitor> ground_truth_;
  std::unique_ptr<Monitor> monitor_;
};

}  // namespace evilmoe
