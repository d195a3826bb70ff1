#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// What rank 0 tells the other ranks, in this order: (job restore step* end_job)* leave. end_job may come early.
enum class RankMessageKind : uint8_t {
  kJob,      // load the model of `run_yaml`, whose checkpoints are in `run_directory`
  kRestore,  // load the checkpoint of `step`; 0: begin where the run begins
  kStep,     // make step number `step` (steps done before it) on `groups`
  kEndJob,   // drop the model
  kLeave,    // end the process
};

struct RankMessage {
  RankMessageKind kind = RankMessageKind::kLeave;
  std::string run_yaml;
  int64_t step = 0;
  std::vector<TrainGroup> groups;
  std::string run_directory = {};  // empty: the follower's own
};

// Little-endian, counts before contents; about 8 bytes a token.
std::string EncodeRankMessage(const RankMessage& message);

// DataLoss: cut off, longer than it says, a kind that is none, a sample without tokens or with another number of
// log-probabilities than tokens. Never takes more memory than a few times `bytes`.
absl::StatusOr<RankMessage> DecodeRankMessage(std::string_view bytes);

}  // namespace evilmoe
