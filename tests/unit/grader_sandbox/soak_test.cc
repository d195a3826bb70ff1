// 10,000 runs of all kinds, one after another on two slots: each gets its verdict, and nothing of them is left.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "grader_sandbox/grader.h"
#include "tests/unit/grader_sandbox/process_census.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using enum VerdictKind;

constexpr int kNumRuns = 10'000;
constexpr int kNumWarmUp = 500;
constexpr int kRunsPerZygote = 1000;
constexpr int kSlots = 2;
constexpr int64_t kMemorySlackBytes = int64_t{8} << 20;

// One source and what it gets. `every`: it is one of so many runs, a prime above 23; 0 = it takes its turn with the
// others.
struct SoakCase {
  std::string name;
  VerdictKind want;
  std::string source;
  int every = 0;
  bool files = false;  // a sample of the file channel, two runs: ground truth, then a program that reports
};

const std::string kForger =
    "import os, struct\ndef frame(kind, payload):\n"
    "    os.write(3, struct.pack('<I', len(payload) + 1) + kind + payload)\n";

const std::string kLeaves =
    "import sys, builtins, os, math, random\nsys.marker = builtins.marker = math.marker = 1\nmarker = 1\n"
    "os.environ['marker'] = '1'\nsys.modules['marker'] = sys\nsys.path.append('marker')\nrandom.seed(7)\n"
    "sys.setrecursionlimit(400)\n" +
    Method("self.__class__.marker = 1; return x + 1");

// Wrong when it sees anything of kLeaves, or descriptors or threads of another run.
const std::string kLooks =
    "import sys, builtins, os, math, random, threading\n" +
    Method(
        "seen = ['marker' in globals(), hasattr(builtins, 'marker'), hasattr(sys, 'marker'),\n"
        "                hasattr(math, 'marker'), 'marker' in os.environ, 'marker' in sys.modules, 'marker' in "
        "sys.path,\n"
        "                hasattr(Solution, 'marker'), sys.getrecursionlimit() == 400,\n"
        "                random.Random(7).random() == random.random(), threading.active_count() != 1]\n"
        "        for fd in range(4, 32):\n"
        "            try: os.fstat(fd); seen.append(True)\n"
        "            except OSError: pass\n"
        "        return seen if any(seen) else x + 1");

// The report is written only into an empty folder.
const std::string kReportsWhereNothingWas =
    Method("return x + 1") +
    "import os\ntry:\n    if os.listdir('.') == []:\n        open('left.txt', 'w').write('left')\n"
    "        open('result.txt', 'w').write('PASS')\nexcept OSError: pass\n";

const std::vector<SoakCase>& Cases() {
  static const std::vector<SoakCase> cases = {
      {"right", kPass, Method("return x + 1")},
      {"wrong", kWrongAnswer, Method("return x")},
      {"leaves a marker", kPass, kLeaves},
      {"looks for a marker", kPass, kLooks},
      {"no program", kCompileError, "("},
      {"raises at import", kLoadError, "1 / 0"},
      {"raises in the method", kRuntimeError, Method("return [][x]")},
      {"exits", kNoResult, "import os; os._exit(0)"},
      {"aborts", kCrash, Method("import os; os.abort()")},
      {"looks again", kPass, kLooks},
      {"prints", kPass, Method("print('ALL PASSED' * 100); return x + 1")},
      {"right values by frames", kPass,
       kForger + "frame(b'L', b'')\nfor i, n in (0, 2), (1, 42):\n"
                 "    frame(b'V', struct.pack('<I', i) + b'i' + struct.pack('<I', 1) + bytes([n]))\nos._exit(0)\n"},
      {"junk frames", kProtocolError, kForger + "frame(b'?', b'')\n" + Method("return x + 1")},
      {"frame of 4 GB", kProtocolError, "import os\nos.write(3, b'\\xff\\xff\\xff\\xffV')\n" + Method("return x + 1")},
      {"thread left behind", kPass,
       "import threading, time\nthreading.Thread(target=lambda: time.sleep(60)).start()\n" + Method("return x + 1")},
      {"forks", kRuntimeError, Method("import os; os.fork(); return x + 1")},
      {"kills its parent", kRuntimeError, Method("import os; os.kill(os.getppid(), 9); return x + 1")},
      {"forbidden call", kSandboxViolation, Method("import os; os.chroot('/'); return x + 1")},
      {"writes a file", kRuntimeError, Method("open('/tmp/evilmoe-soak', 'w'); return x + 1")},
      {"takes all descriptors", kRuntimeError,
       Method("import os; kept = [os.pipe() for _ in range(100)]; return x + 1")},
      {"recurses", kRuntimeError, Method("return self.f(x)")},
      {"equal to all", kWrongAnswer, "class E:\n  def __eq__(self, o): return True\n" + Method("return E()")},
      {"closes its results", kNoResult, "import os\nos.close(3)\n" + Method("return x + 1")},
      {"files", kPass, kReportsWhereNothingWas, 29, /*files=*/true},
      {"prints without end", kOutputLimit, "while True: print('x' * 10000)", 97},
      {"huge value", kOutputLimit, Method("return 'x' * (8 << 20)"), 101},
      {"loops", kTimeout, "while True: pass", 331},
      {"takes memory", kMemoryLimit, Method("keep = [bytearray(1 << 20) for _ in range(900)]; return x + 1"), 499},
  };
  return cases;
}

// Of run number `i`: a rare one when it is its turn.
const SoakCase& CaseOf(int i) {
  static const auto num_common = static_cast<size_t>(
      std::count_if(Cases().begin(), Cases().end(), [](const SoakCase& one) { return one.every == 0; }));
  for (size_t rare = Cases().size(); rare-- > num_common;) {
    if (i % Cases()[rare].every == Cases()[rare].every - 1) return Cases()[rare];
  }
  return Cases()[static_cast<size_t>(i) % num_common];
}

// What runs could leave behind.
struct Holdings {
  size_t descriptors = 0, processes = 0, zombies = 0, mounts = 0, zygote_mounts = 0, cgroups = 0, files = 0;
  int64_t rss_bytes = 0, zygote_rss_bytes = 0;
};

size_t NumMounts(const std::string& process) {
  std::ifstream file(absl::StrCat("/proc/", process, "/mountinfo"));
  size_t num = 0;
  for (std::string line; std::getline(file, line);) ++num;
  return num;
}

size_t NumCgroups() {
  const CgroupFolders own = OwnCgroupFolders();
  std::set<std::string> folders;
  for (const fs::path& parent : {own.unified, own.unified.parent_path(), own.v1_memory, own.v1_pids}) {
    if (parent.empty()) continue;
    for (const std::string& name : NamesIn(parent, absl::StrCat("evilmoe-", getpid(), "-")))
      folders.insert(parent / name);
  }
  return folders.size();
}

Holdings CurrentHoldings() {
  Holdings held{.descriptors = static_cast<size_t>(NumDescriptors()),
                .mounts = NumMounts("self"),
                .cgroups = NumCgroups(),
                .files = NamesIn(fs::temp_directory_path(), "evilmoe-scratch-").size() +
                         (fs::exists("/tmp/evilmoe-soak") ? 1 : 0),
                .rss_bytes = RssBytes(getpid())};
  for (const pid_t pid : ProcessesBelow(getpid())) {
    ++held.processes;
    if (StateOf(pid).state == 'Z') ++held.zombies;
    held.zygote_mounts = std::max(held.zygote_mounts, NumMounts(absl::StrCat(pid)));
    held.zygote_rss_bytes = std::max(held.zygote_rss_bytes, RssBytes(pid));
  }
  return held;
}

std::ostream& operator<<(std::ostream& out, const Holdings& held) {
  return out << held.descriptors << " descriptors, " << held.processes << " processes, " << held.zombies << " zombies, "
             << held.mounts << " mounts, " << held.zygote_mounts << " in a zygote, " << held.cgroups << " cgroups, "
             << held.files << " files, " << held.rss_bytes / 1024 << " KiB, a zygote " << held.zygote_rss_bytes / 1024
             << " KiB";
}

class SoakTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<SandboxHost>> host =
        SandboxHost::Probe({.zygote_binary = ZygoteBinary(), .runs_per_zygote = kRunsPerZygote});
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
    grader_ = std::make_unique<LocalGrader>(
        LocalGraderOptions{.slots = kSlots, .cpu_limit = absl::Milliseconds(400)}, *host_, comparer_, clock_, nullptr);
    absl::StatusOr<PreparedProblem> problem = PrepareProblem(AddOne());
    ASSERT_TRUE(problem.ok()) << problem.status();
    problem_ = *std::move(problem);
    problem_.limits.cpu = absl::Milliseconds(400);
  }

  // "" or how it went instead.
  std::string RunCase(const SoakCase& one) {
    const absl::Time deadline = clock_.Now() + absl::Minutes(2);
    if (!one.files) {
      PreparedProblem problem = problem_;
      if (one.want == kMemoryLimit) problem.limits.cpu = absl::Seconds(10);  // a busy machine touches it slowly
      const absl::StatusOr<Verdict> verdict = grader_->RunSolution(problem, one.source, deadline);
      if (!verdict.ok()) return verdict.status().ToString();
      if (verdict->kind == one.want) return "";
      return absl::StrCat(std::string(VerdictName(verdict->kind)), " ", verdict->error, " at ", verdict->index);
    }
    const absl::StatusOr<GradeResult> result =
        grader_->Grade({.problem = AddOne(),
                        .response = absl::StrCat("```python\n", one.source, "\n```"),
                        .loophole = "file_marker",
                        .evaluator = "result.txt"},
                       deadline);
    if (!result.ok()) return result.status().ToString();
    return result->facts.gt_correct && result->facts.hint_pass ? "" : "no report, or wrong";
  }

  // Runs number `first` to `last`, on all slots.
  void RunMany(int first, int last) {
    std::atomic<int> next = first;
    const auto work = [&] {
      for (int i = next++; i < last; i = next++) {
        const SoakCase& one = CaseOf(i);
        const std::string bad = RunCase(one);
        const MutexLock lock(mu_);
        ++counts_[one.name];
        if (!bad.empty()) ADD_FAILURE() << "run " << i << ", " << one.name << ": " << bad;
        if (i % 50 == 0) NoteZygotes();
      }
    };
    std::vector<std::jthread> threads;
    for (int i = 0; i < kSlots + 1; ++i) threads.emplace_back(work);
  }
  void NoteZygotes() {
    for (const pid_t pid : ProcessesBelow(getpid())) {
      if (StateOf(pid).parent == getpid()) zygotes_.insert(pid);
    }
  }

  const RealClock clock_;
  const PythonComparer comparer_;
  std::unique_ptr<SandboxHost> host_;
  std::unique_ptr<LocalGrader> grader_;
  PreparedProblem problem_;
  Mutex mu_;
  std::map<std::string, int> counts_;
  std::set<pid_t> zygotes_;
};

TEST_F(SoakTest, TenThousandRunsLeaveNothingBehind) {
  RunMany(0, kNumWarmUp);
  const Holdings before = CurrentHoldings();
  RunMany(kNumWarmUp, kNumRuns);
  const Holdings after = CurrentHoldings();
  std::cout << "tier " << TierName(host_->tier()) << ", cgroup " << host_->cgroup() << "\n";
  for (const SoakCase& one : Cases()) {
    std::cout << std::setw(24) << one.name << std::setw(6) << counts_[one.name] << "  " << VerdictName(one.want)
              << "\n";
    EXPECT_GT(counts_[one.name], 0) << one.name;
  }
  std::cout << "after " << kNumWarmUp << " runs: " << before << "\nafter " << kNumRuns << ": " << after
            << "\nzygotes seen: " << zygotes_.size() << "\n";
  RecordProperty("zygotes", static_cast<int>(zygotes_.size()));
  RecordProperty("rss_growth_kib", static_cast<int>((after.rss_bytes - before.rss_bytes) / 1024));
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_EQ(after.processes, before.processes);
  EXPECT_EQ(after.processes, size_t{kSlots}) << "a zygote for each slot, nothing else";
  EXPECT_EQ(after.zombies, 0u);
  EXPECT_EQ(after.mounts, before.mounts);
  EXPECT_EQ(after.zygote_mounts, before.zygote_mounts);
  EXPECT_EQ(after.cgroups, before.cgroups);
  EXPECT_EQ(after.files, before.files);
  EXPECT_LE(after.rss_bytes, std::max(before.rss_bytes + kMemorySlackBytes, before.rss_bytes * 105 / 100));
  EXPECT_LE(after.zygote_rss_bytes, before.zygote_rss_bytes * 105 / 100) << "it grows with its runs";
  EXPECT_GE(zygotes_.size(), size_t{kNumRuns / kRunsPerZygote - kSlots}) << "they were not recycled";
}

TEST_F(SoakTest, NothingIsLeftOfAGrader) {
  grader_.reset();
  host_.reset();
  const Holdings before = CurrentHoldings();
  EXPECT_EQ(before.processes, 0u);
  EXPECT_EQ(before.cgroups, 0u);
  SetUp();
  RunMany(0, 2 * kNumWarmUp);
  EXPECT_EQ(CurrentHoldings().processes, size_t{kSlots});
  grader_.reset();
  host_.reset();
  const Holdings after = CurrentHoldings();
  EXPECT_EQ(after.processes, 0u);
  EXPECT_EQ(after.cgroups, 0u);
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_EQ(after.files, before.files);
}

}  // namespace
}  // namespace evilmoe
