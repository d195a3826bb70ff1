#include <filesystem>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "grader_sandbox/sandbox_host.h"
#include "tests/unit/grader_sandbox/hostile_cases.h"
#include "tests/unit/grader_sandbox/hostile_lines.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

constexpr Tier kTiers[] = {Tier::kA, Tier::kB, Tier::kC};
constexpr absl::Duration kGrace = absl::Milliseconds(500);  // past a deadline

// The cells of one tier; their zygotes start with their first run.
class Bench {
 public:
  // FailedPrecondition: why this machine does not offer the tier.
  static absl::StatusOr<std::unique_ptr<Bench>> Make(Tier tier) {
    absl::StatusOr<std::unique_ptr<SandboxHost>> host =
        SandboxHost::Probe({.zygote_binary = ZygoteBinary(), .tier = tier});
    if (!host.ok()) return host.status();
    return std::unique_ptr<Bench>(new Bench(*std::move(host)));
  }
  const SandboxHost& host() const { return *host_; }
  Cell& cell(bool native) { return native ? native_ : plain_; }

 private:
  explicit Bench(std::unique_ptr<SandboxHost> host)
      : host_(std::move(host)), plain_(host_->CellOptions(110)), native_(WithCtypes(host_->CellOptions(111))) {}
  static Cell::Options WithCtypes(Cell::Options options) {
    options.with_ctypes = true;
    return options;
  }

  std::unique_ptr<SandboxHost> host_;
  Cell plain_;
  Cell native_;
};

absl::StatusOr<RunOutcome> RunTests(Cell& cell, const std::vector<std::string>& tests, const std::string& source,
                                    const RunLimits& limits) {
  Problem problem = AddOne();
  if (!tests.empty()) problem.gt_answer = tests;
  const absl::StatusOr<PreparedProblem> prepared = PrepareProblem(problem);
  if (!prepared.ok()) return prepared.status();
  const PythonComparer comparer;
  GroundTruthJudge judge(prepared->expected, comparer);
  const RunRequest request{.source = source, .name = prepared->method, .encoded_calls = prepared->encoded_calls};
  return cell.Run(request, limits, judge, GoOn);
}

absl::StatusOr<RunOutcome> RunProgram(Cell& cell, const std::string& source, const RunLimits& limits) {
  ScriptJudge judge;
  const RunRequest request{
      .kind = RunKind::kScript, .source = source, .name = "f", .script_end = ScriptEnd::kNothing, .uses_files = true};
  return cell.Run(request, limits, judge, GoOn);
}

absl::StatusOr<RunOutcome> RunCase(Cell& cell, const HostileCase& row) {
  const RunLimits limits{.cpu = row.how.cpu};
  return row.how.files ? RunProgram(cell, row.source, limits) : RunTests(cell, row.how.tests, row.source, limits);
}

std::string Describe(const RunOutcome& outcome) {
  const Verdict& verdict = outcome.verdict;
  return absl::StrCat(std::string(VerdictName(verdict.kind)), " ", verdict.error, " at ", verdict.index, ", signal ",
                      verdict.signal, " ", verdict.syscall, ", ", verdict.cpu_ms, " ms of CPU, ", verdict.wall_ms,
                      " ms, ", verdict.peak_rss_bytes >> 20, " MiB, printed: ", outcome.output.substr(0, 1000));
}

// A row of the table in a tier; the row by its place, so that copies are cheap.
using TierAndRow = std::tuple<Tier, size_t>;

class HostileTiersTest : public ::testing::TestWithParam<TierAndRow> {
 protected:
  static void TearDownTestSuite() { benches_.clear(); }

  void SetUp() override {
    if (const std::string why = WhyNotHere(); !why.empty()) GTEST_SKIP() << why;
    auto [found, is_new] = benches_.try_emplace(tier());
    if (is_new) found->second = Bench::Make(tier());
    if (absl::IsFailedPrecondition(found->second.status())) {
      GTEST_SKIP() << "not offered here: " << found->second.status().message();
    }
    ASSERT_TRUE(found->second.ok()) << found->second.status();
    bench_ = found->second->get();
    if (row().how.files && tier() == Tier::kC && bench_->host().landlock_version() == 0) {
      GTEST_SKIP() << "no files in tier C without Landlock";
    }
  }

  static Tier tier() { return std::get<0>(GetParam()); }
  static const HostileCase& row() { return HostileCases()[std::get<1>(GetParam())]; }
  static const Ending& want() {
    const auto own = row().how.in_tier.find(tier());
    return own == row().how.in_tier.end() ? row().want : own->second;
  }
  Cell& cell() { return bench_->cell(row().how.native); }

  // "" or why the row means nothing in this build or on this machine.
  static std::string WhyNotHere() {
#ifdef __SANITIZE_ADDRESS__
    if (row().how.plain_build) return "not with AddressSanitizer";
#endif
    for (const std::string package : {"numpy", "sortedcontainers"}) {
      if (row().source.find("import " + package) == std::string::npos) continue;
      if (!std::filesystem::exists(std::filesystem::path(EVILMOE_PYTHON_PACKAGES) / package)) return "no " + package;
    }
    return "";
  }

  static void Check(const RunOutcome& outcome) {
    const Verdict& verdict = outcome.verdict;
    EXPECT_THAT(want().kinds, ::testing::Contains(verdict.kind));
    EXPECT_THAT(verdict.error, ::testing::HasSubstr(want().error));
    if (want().index) {
      EXPECT_EQ(verdict.index, *want().index);
    }
    if (want().signal != 0) {
      EXPECT_EQ(verdict.signal, want().signal);
    }
    if (!want().syscall.empty()) {
      EXPECT_EQ(verdict.syscall, want().syscall);
    }
    EXPECT_LE(absl::Milliseconds(verdict.wall_ms), RunLimits{.cpu = row().how.cpu}.wall() + kGrace);
    if (row().how.files && verdict.kind == VerdictKind::kPass) {
      std::vector<std::string> names;
      for (const ScratchFile& file : outcome.files) names.push_back(file.name);
      EXPECT_EQ(outcome.output, row().how.printed);
      EXPECT_EQ(names, row().how.left_over);
    }
  }

  // Nothing of the row is left.
  void CheckNextRun() {
    const std::string source = row().how.then.empty() ? AddOne().canonical_solution : row().how.then;
    const absl::StatusOr<RunOutcome> next = RunTests(cell(), {}, source, {});
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_EQ(next->verdict.kind, VerdictKind::kPass) << "the next run suffers: " << Describe(*next);
    EXPECT_EQ(next->verdict.syscall, "");
    if (!row().how.files) return;
    const absl::StatusOr<RunOutcome> files = RunProgram(cell(), "import os\nprint(os.listdir('.'))", {});
    ASSERT_TRUE(files.ok()) << files.status();
    EXPECT_EQ(files->output, "[]\n");
  }

  Bench* bench_ = nullptr;

 private:
  static std::map<Tier, absl::StatusOr<std::unique_ptr<Bench>>> benches_;
};
std::map<Tier, absl::StatusOr<std::unique_ptr<Bench>>> HostileTiersTest::benches_;

TEST_P(HostileTiersTest, GetsItsVerdict) {
  const absl::StatusOr<RunOutcome> outcome = RunCase(cell(), row());
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  SCOPED_TRACE(Describe(*outcome));
  Check(*outcome);
  CheckNextRun();
  if (row().how.twice == Twice::kNotTried) return;
  const absl::StatusOr<RunOutcome> again = RunCase(cell(), row());
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_NE(outcome->verdict.values_digest, "");
  EXPECT_EQ(again->verdict.values_digest == outcome->verdict.values_digest, row().how.twice == Twice::kSame);
}

INSTANTIATE_TEST_SUITE_P(Tiers, HostileTiersTest,
                         ::testing::Combine(::testing::ValuesIn(kTiers),
                                            ::testing::Range(size_t{0}, HostileCases().size())),
                         [](const auto& test) {
                           const HostileCase& row = HostileCases()[std::get<1>(test.param)];
                           return absl::StrCat(TierName(std::get<0>(test.param)), "_", row.line, "_", row.name);
                         });

TEST(HostileTableTest, SomeTierRuns) {
  std::string ran;
  for (const Tier tier : kTiers) {
    const absl::StatusOr<std::unique_ptr<Bench>> bench = Bench::Make(tier);
    if (!bench.ok()) {
      std::cout << "tier " << TierName(tier) << " is not offered here: " << bench.status().message() << "\n";
      continue;
    }
    EXPECT_EQ(RunAddOne((*bench)->cell(false), AddOne().canonical_solution).kind, VerdictKind::kPass);
    std::cout << "tier " << TierName(tier) << " runs, cgroup " << (*bench)->host().cgroup() << ", Landlock "
              << (*bench)->host().landlock_version() << "\n";
    ran += TierName(tier);
  }
  RecordProperty("tiers", ran);
  EXPECT_NE(ran, "");
}

TEST(HostileTableTest, HasARowForEveryLine) {
  std::map<int, int> rows;
  for (const HostileCase& row : HostileCases()) ++rows[row.line];
  for (const TestedElsewhere& elsewhere : kTestedElsewhere) {
    const std::string file =
        absl::StrCat(EVILMOE_SOURCE_DIR "/tests/unit/grader_sandbox/", std::string(elsewhere.file));
    EXPECT_TRUE(std::filesystem::exists(file)) << file;
    ++rows[elsewhere.line];
  }
  int number = 0;
  for (const HostileLine& line : kHostileLines) {
    EXPECT_EQ(line.line, ++number);
    EXPECT_GT(rows[line.line], 0) << line.line << ": " << line.what;
  }
  EXPECT_EQ(number, 107);
  EXPECT_EQ(rows.size(), kHostileLines.size());
  RecordProperty("rows", static_cast<int>(HostileCases().size()));
}

}  // namespace
}  // namespace evilmoe
