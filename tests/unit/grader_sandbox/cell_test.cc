#include <dirent.h>
#include <signal.h>

#include <fstream>
#include <memory>

#include "grader_sandbox/grader.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

int CountEntries(const char* path) {
  int count = 0;
  DIR* folder = opendir(path);
  if (folder == nullptr) return -1;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

int CountChildren(pid_t pid) {
  std::ifstream children("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  int count = 0;
  for (pid_t child = 0; children >> child;) ++count;
  return count;
}

TEST(CellTest, ManyRunsLeaveNothingBehind) {
  Cell cell({.zygote_binary = ZygoteBinary(), .runs_per_zygote = 200});
  ASSERT_EQ(RunAddOne(cell, AddOne().canonical_solution).kind, VerdictKind::kPass);
  const int fds = CountEntries("/proc/self/fd");
  const std::vector<std::pair<std::string, VerdictKind>> mix = {
      {AddOne().canonical_solution, VerdictKind::kPass},
      {Method("return x"), VerdictKind::kWrongAnswer},
      {"import os; os._exit(0)", VerdictKind::kNoResult},
      {"(", VerdictKind::kCompileError},
      {Method("import os; os.abort()"), VerdictKind::kCrash}};
  double wall_ms = 0;
  for (int i = 0; i < 500; ++i) {
    const Verdict verdict = RunAddOne(cell, mix[i % mix.size()].first);
    ASSERT_EQ(verdict.kind, mix[i % mix.size()].second) << i;
    if (i % mix.size() == 0) wall_ms += verdict.wall_ms;
  }
  RecordProperty("mean_wall_us_of_a_trivial_run", static_cast<int>(wall_ms / 100 * 1000));
  EXPECT_EQ(CountEntries("/proc/self/fd"), fds);
  EXPECT_EQ(CountChildren(cell.zygote_pid()), 0);
}

TEST(CellTest, RunSeesNothingOfAnEarlierOne) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  const std::string leave =
      "import sys, builtins, os, math\nsys.marker = builtins.marker = math.marker = 1\nmarker = 1\n"
      "os.environ['marker'] = '1'\n" + Method("return x + 1");
  const std::string look =
      "import sys, builtins, os, math\n" +
      Method("return 'seen' if 'marker' in globals() or hasattr(builtins, 'marker') or hasattr(sys, 'marker') "
             "or hasattr(math, 'marker') or 'marker' in os.environ else x + 1");
  EXPECT_EQ(RunAddOne(cell, leave).kind, VerdictKind::kPass);
  EXPECT_EQ(RunAddOne(cell, look).kind, VerdictKind::kPass);
}

TEST(CellTest, RandomAndSetOrderAreTheSameInEveryRun) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  const std::string source = Method("import random; return [random.random(), list({'a', 'b', 'c', 'd', 'e'}), hash('q')]");
  std::vector<std::string> seen;
  for (int i = 0; i < 3; ++i) {
    RecordingJudge judge(1);
    const absl::StatusOr<std::string> call = EncodeCall({.method = "f", .positional = {Value(MakePyInt(1))}});
    ASSERT_TRUE(call.ok());
    const RunRequest request{.source = source, .name = "f", .encoded_calls = {*call}};
    ASSERT_TRUE(cell.Run(request, {}, judge, GoOn).ok());
    const absl::StatusOr<std::string> text = WriteLiteral(judge.values()[0]);
    ASSERT_TRUE(text.ok()) << text.status();
    seen.push_back(*text);
  }
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_EQ(seen[0], seen[2]);
}

// Kills the zygote when the first frame of an attempt arrives, in the first `times` attempts.
class ZygoteKiller final : public Judge {
 public:
  ZygoteKiller(Cell& cell, Judge& inner, int times) : cell_(cell), inner_(inner), left_(times) {}
  void Reset() override {
    inner_.Reset();
    killed_ = false;
  }
  absl::StatusOr<std::optional<Verdict>> OnFrame(const Frame& frame) override {
    if (left_ == 0 && !killed_) return inner_.OnFrame(frame);
    if (!killed_) --left_;
    killed_ = true;
    kill(cell_.zygote_pid(), SIGKILL);
    return std::nullopt;
  }

 private:
  Cell& cell_;
  Judge& inner_;
  int left_;
  bool killed_ = false;
};

absl::StatusOr<RunOutcome> RunKilling(Cell& cell, int times) {
  const std::vector<Value> expected = {Value(MakePyInt(2))};
  const PythonComparer comparer;
  GroundTruthJudge inner(expected, comparer);
  ZygoteKiller judge(cell, inner, times);
  const absl::StatusOr<std::string> call = EncodeCall({.method = "f", .positional = {Value(MakePyInt(1))}});
  const RunRequest request{.source = Method("import time; time.sleep(0.2); return x + 1"), .name = "f",
                           .encoded_calls = {*call}};
  return cell.Run(request, {}, judge, GoOn);
}

TEST(CellTest, RunWhoseZygoteDiesIsRepeated) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  const absl::StatusOr<RunOutcome> outcome = RunKilling(cell, 2);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->verdict.kind, VerdictKind::kPass);
}

TEST(CellTest, RunThatIsLostEveryTimeHasNoVerdict) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  EXPECT_EQ(RunKilling(cell, 3).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(RunAddOne(cell, AddOne().canonical_solution).kind, VerdictKind::kPass);
}

TEST(CellTest, MissingZygoteIsUnavailableOrInternalNotAVerdict) {
  Cell cell({.zygote_binary = "/nowhere/evilmoe-zygote"});
  EXPECT_FALSE(RunKilling(cell, 0).ok());
}

TEST(CellTest, InterruptEndsARun) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  RecordingJudge judge(1);
  const RunRequest request{.source = "while True: pass", .name = "f", .encoded_calls = {"", ""}};
  int asked = 0;
  const auto status = cell.Run(request, {}, judge, [&]() -> absl::Status {
    return ++asked > 3 ? absl::CancelledError("client gone") : absl::OkStatus();
  });
  EXPECT_EQ(status.status().code(), absl::StatusCode::kCancelled);
}

TEST(CellTest, LargeArgumentsAndManyCallsArrive) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  const int num_calls = 3000;
  RunRequest request{.source = Method("return len(x)"), .name = "f"};
  const absl::StatusOr<std::string> call =
      EncodeCall({.method = "f", .positional = {Value(PyStr{std::string(5000, 'a')})}});
  request.encoded_calls.assign(num_calls, *call);
  const std::vector<Value> expected(num_calls, Value(5000.0));
  const PythonComparer comparer;
  GroundTruthJudge judge(expected, comparer);
  const absl::StatusOr<RunOutcome> outcome = cell.Run(request, {}, judge, GoOn);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->verdict.kind, VerdictKind::kPass) << outcome->verdict.error;
}

TEST(CellTest, SaysAtWhichTestARunEnded) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  for (const char* end : {"while True: pass", "import os; os._exit(0)", "import os; os.abort()"}) {
    const Verdict verdict = RunAddOne(cell, Method(std::string("\n        if x == 1: return 2\n        ") + end));
    EXPECT_NE(verdict.kind, VerdictKind::kPass);
    EXPECT_EQ(verdict.index, 1) << end;
    EXPECT_EQ(verdict.tests_passed, 1) << end;
  }
}

// Counts how often a run begins.
class BeginningCounter final : public Judge {
 public:
  explicit BeginningCounter(Judge& inner) : inner_(inner) {}
  void Reset() override {
    inner_.Reset();
    begun_ = false;
  }
  absl::StatusOr<std::optional<Verdict>> OnFrame(const Frame& frame) override {
    num_begun += begun_ ? 0 : 1;
    begun_ = true;
    return inner_.OnFrame(frame);
  }
  int num_begun = 0;

 private:
  Judge& inner_;
  bool begun_ = false;
};

// Uses a little more CPU time than its limit of 200 ms, less than 1.2 times that, and then does `end`.
Verdict RunALittleOver(Cell& cell, const std::string& end, int* num_begun) {
  const std::vector<Value> expected = {Value(MakePyInt(2))};
  const PythonComparer comparer;
  GroundTruthJudge inner(expected, comparer);
  BeginningCounter judge(inner);
  const RunRequest request{
      .source = "import time\n" + Method("\n        while time.process_time() < 0.215: pass\n        " + end),
      .name = "f",
      .encoded_calls = {*EncodeCall({.method = "f", .positional = {Value(MakePyInt(1))}})}};
  const absl::StatusOr<RunOutcome> outcome = cell.Run(request, {.cpu = absl::Milliseconds(200)}, judge, GoOn);
  *num_begun = judge.num_begun;
  EXPECT_TRUE(outcome.ok()) << outcome.status();
  return outcome.ok() ? outcome->verdict : Verdict{.kind = VerdictKind::kPass};
}

TEST(CellTest, RunALittleOverItsCpuLimitIsRepeatedAlone) {
  RunGate gate;
  Cell cell({.zygote_binary = ZygoteBinary(), .gate = &gate});
  int num_begun = 0;
  const Verdict verdict = RunALittleOver(cell, "return x + 1", &num_begun);
  EXPECT_EQ(verdict.kind, VerdictKind::kTimeout) << VerdictName(verdict.kind) << " " << verdict.cpu_ms;
  EXPECT_EQ(verdict.error, "cpu");
  EXPECT_EQ(num_begun, 2);
  EXPECT_TRUE(gate.EnterAlone(GoOn).ok()) << "the gate was not left";
}

TEST(CellTest, ForbiddenCallStaysOneHoweverLongTheRunTook) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  int num_begun = 0;
  const Verdict verdict = RunALittleOver(cell, "import os; os.chroot('/')", &num_begun);
  EXPECT_EQ(verdict.kind, VerdictKind::kSandboxViolation) << VerdictName(verdict.kind);
  EXPECT_EQ(verdict.syscall, "chroot");
  EXPECT_EQ(num_begun, 1);
}

TEST(CellTest, KeepsWhatWasPrinted) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  RecordingJudge judge(1);
  const RunRequest request{.source = "import os\nos.write(1, b'o' * 100000)\nos.write(2, b'e')\n", .name = "f",
                           .encoded_calls = {std::string(8, '\0')}};
  const absl::StatusOr<RunOutcome> outcome = cell.Run(request, {}, judge, GoOn);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->output, std::string(64 << 10, 'o'));
}

}  // namespace
}  // namespace evilmoe
