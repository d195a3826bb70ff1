// trained_run DIR SOCKET INCARNATION: trains the run of DIR/config.yaml from its last checkpoint to its end, as
// evilmoe-trainer does, on samples without a model. Each message on SOCKET is what a coordinator would be told, one
// JSON object. Stops itself with SIGSTOP when all is loaded and the run begins, for whoever traces it.

#include <signal.h>
#include <sys/socket.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "common/file.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_rollouts.h"
#include "trainer/training_loop.h"

namespace evilmoe {
namespace {

// A message arrives whole or not at all, as a coordinator's call does.
class Coordinator final : public ProgressSink, public Rollouts {
 public:
  explicit Coordinator(int socket) : socket_(socket) {}
  absl::Status Record(const std::string& key, const std::string& kind, const nlohmann::ordered_json& payload,
                      int64_t steps_done) override {
    return Tell({{"key", key}, {"kind", kind}, {"payload", payload}, {"steps_done", steps_done}});
  }
  absl::Status Publish(int64_t step, const std::string& adapter_bytes) override {
    return Tell({{"key", "adapter/" + std::to_string(step)}, {"sha256", Sha256Hex(adapter_bytes)}});
  }
  absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& batch) override { return samples_.Run(batch); }

 private:
  absl::Status Tell(const nlohmann::ordered_json& message) const {
    const std::string text = message.dump();
    if (send(socket_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size())) return absl::OkStatus();
    return absl::InternalError("the test's socket is gone");
  }

  const int socket_;
  FakeRollouts samples_;
};

absl::Status Train(const std::filesystem::path& directory, int socket, int incarnation) {
  FakeClock clock;
  clock.Advance(absl::Hours(incarnation));  // no record may depend on when the run was resumed
  EVILMOE_ASSIGN_OR_RETURN(const std::string yaml, ReadFile(directory / "config.yaml"));
  EVILMOE_ASSIGN_OR_RETURN(const RunConfig config, ParseRunConfig(yaml, "config.yaml", directory));
  EVILMOE_ASSIGN_OR_RETURN(const auto model, TrainingModel::Load(config, 1));
  EVILMOE_ASSIGN_OR_RETURN(std::vector<Problem> training, LoadProblems(config.data.train));
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<Problem> held_out, LoadProblems(config.evaluation.problems));
  EVILMOE_ASSIGN_OR_RETURN(const PromptSource prompts,
                           PromptSource::Make(config, model->tokenizer(), std::move(training)));
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(directory / "log", "test", clock));
  Coordinator coordinator(socket);
  TrainingLoop loop(config, {directory, Sha256Hex(yaml), "run-1"}, *model, prompts, coordinator, coordinator, clock,
                    logger);
  raise(SIGSTOP);
  EVILMOE_ASSIGN_OR_RETURN(const int64_t step, loop.Restore());
  EVILMOE_RETURN_IF_ERROR(loop.Train(step, held_out));
  return loop.Ablate(config.steps, held_out, "end");
}

}  // namespace
}  // namespace evilmoe

#ifdef __SANITIZE_ADDRESS__
// The search for leaks is done by tracing, and a process has one tracer.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }
#endif

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const absl::Status done = evilmoe::Train(argv[1], std::atoi(argv[2]), std::atoi(argv[3]));
  if (!done.ok()) std::cerr << done << std::endl;
  return done.ok() ? 0 : 1;
}
