// Runs per second of a grader behind gRPC, with one stream and with many at once.
//
//   grader_stream_bench [--samples N] [--streams N] [--slots N] [--rounds N]
//
// Every stream has a connection of its own; together they send N trivial samples of one problem, at most 64 of a stream
// unanswered. Client and server share this process. One and many take turns, and the faster round of each counts. Out
// come two lines {"streams", "samples", "slots", "runs_per_second"} and one {"ratio"}: many over one. Exit status 1: a
// sample was not answered as right.

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/status_macros.h"
#include "evilmoe/v1/grader.grpc.pb.h"
#include "grader_sandbox/grader_service.h"
#include "grader_sandbox/grader_translation.h"

namespace evilmoe {
namespace {

constexpr int kUnanswered = 64;  // of a stream: grader.proto reads no further

struct Options {
  int samples = 4000;
  int streams = 100;
  int slots = 2;
  int rounds = 3;
};

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  const std::vector<std::pair<std::string, int*>> known = {{"--samples", &options.samples},
                                                           {"--streams", &options.streams},
                                                           {"--slots", &options.slots},
                                                           {"--rounds", &options.rounds}};
  for (size_t i = 0; i < arguments.size(); i += 2) {
    const auto is_named = [&](const auto& option) { return option.first == arguments[i]; };
    const auto option = std::find_if(known.begin(), known.end(), is_named);
    if (option == known.end() || i + 1 == arguments.size() || !absl::SimpleAtoi(arguments[i + 1], option->second) ||
        *option->second < 1) {
      return absl::InvalidArgumentError(absl::StrCat(arguments[i], ": not understood, expected --option NUMBER"));
    }
  }
  return options;
}

v1::GradeRequest TrivialSample() {
  GradeTask task;
  task.problem.id = 1;
  task.problem.func_name = "Solution().f";
  task.problem.gt_answer = {"assert Solution().f(x = 1) == 2", "assert Solution().f(x = 41) == 42"};
  task.problem.canonical_solution = "class Solution:\n    def f(self, x):\n        return x + 1\n";
  task.response = absl::StrCat("```python\n", task.problem.canonical_solution, "```");
  return ToProto(task);
}

// Sends `num` samples on a stream of its own; how many were answered as right.
int RunStream(const std::string& address, int num) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto stub =
      v1::GraderService::NewStub(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(10));
  const auto stream = stub->GradeStream(&context);
  v1::GradeStreamRequest message;
  *message.mutable_request() = TrivialSample();
  v1::GradeStreamResponse answer;
  int sent = 0, answered = 0, right = 0;
  while (answered < num) {
    for (; sent < num && sent - answered < kUnanswered; ++sent) {
      message.set_id(sent);
      if (!stream->Write(message)) break;
    }
    if (!stream->Read(&answer)) break;
    ++answered;
    if (answer.code() == 0 && answer.response().facts().gt_correct()) ++right;
  }
  stream->WritesDone();
  return stream->Finish().ok() ? right : 0;
}

// Runs per second of `samples` over `num_streams`. Internal: not all were answered as right.
absl::StatusOr<double> Measure(const std::string& address, int num_streams, int samples) {
  std::atomic<int> right = 0;
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (int stream = 0; stream < num_streams; ++stream) {
      const int share = samples / num_streams + (stream < samples % num_streams ? 1 : 0);
      threads.emplace_back([&, share] { right += RunStream(address, share); });
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (right == samples) return samples / seconds;
  return absl::InternalError(absl::StrCat(right.load(), " of ", samples, " samples were answered as right"));
}

absl::Status Compare(const Options& options, const std::string& address) {
  EVILMOE_RETURN_IF_ERROR(Measure(address, 1, 50 * options.slots).status());  // starts every slot, knows the problem
  const int num_streams[] = {1, options.streams};
  double fastest[] = {0, 0};
  for (int round = 0; round < options.rounds; ++round) {
    for (int i = 0; i < 2; ++i) {
      EVILMOE_ASSIGN_OR_RETURN(const double rate, Measure(address, num_streams[i], options.samples));
      fastest[i] = std::max(fastest[i], rate);
    }
  }
  for (int i = 0; i < 2; ++i) {
    std::cout << "{\"streams\": " << num_streams[i] << ", \"samples\": " << options.samples
              << ", \"slots\": " << options.slots << ", \"runs_per_second\": " << fastest[i] << "}\n";
  }
  std::cout << "{\"ratio\": " << fastest[1] / fastest[0] << "}" << std::endl;
  return absl::OkStatus();
}

absl::Status Serve(const Options& options, const std::string& folder) {
  const RealClock clock;
  const PythonComparer comparer;
  std::error_code error;
  const auto zygote = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "evilmoe-zygote";
  EVILMOE_ASSIGN_OR_RETURN(const auto host, SandboxHost::Probe({.zygote_binary = zygote}));
  LocalGrader grader({.slots = options.slots, .queue_limit = kUnanswered * options.streams}, *host, comparer, clock,
                     nullptr);
  const std::string address = absl::StrCat("unix:", folder, "/grader.sock");
  EVILMOE_ASSIGN_OR_RETURN(const auto listening, ListeningGrader::Start({.addresses = {address}}, grader, clock));
  return Compare(options, address);
}

absl::Status Run(const std::vector<std::string>& arguments) {
  EVILMOE_ASSIGN_OR_RETURN(const Options options, ParseOptions(arguments));
  std::string folder = (std::filesystem::temp_directory_path() / "grader_stream_bench_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return absl::UnavailableError(absl::StrCat(folder, ": cannot be made"));
  const absl::Status status = Serve(options, folder);
  std::filesystem::remove_all(folder);
  return status;
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  const absl::Status status = evilmoe::Run(std::vector<std::string>(argv + 1, argv + argc));
  if (status.ok()) return 0;
  std::cerr << "grader_stream_bench: " << status.message() << "\n";
  return 1;
}
