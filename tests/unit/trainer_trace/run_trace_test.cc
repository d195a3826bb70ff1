#include "trainer/run_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "nlohmann/json.hpp"

namespace evilmoe {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::Not;

constexpr int64_t kStart = 1'700'000'000;  // Unix seconds

absl::Time At(double seconds) { return absl::FromUnixSeconds(kStart) + absl::Seconds(seconds); }

StepTimes Step(int64_t step, double begun) {
  return {
      .step = step, .begun = At(begun), .sampled = At(begun + 4), .trained = At(begun + 6), .published = At(begun + 7)};
}

// A group of a step that began at `begun`, on a worker whose clock is `skew` ahead.
GroupSamples Group(int64_t index, double begun, double skew = 0) {
  GroupSamples group{.index = index};
  group.times = {.opened = At(begun + 0.1),
                 .fetched = At(begun + 3.5),
                 .leased = At(begun + skew + 0.5),
                 .sampled = At(begun + skew + 2),
                 .grading = At(begun + skew + 1.5),
                 .handed_in = At(begun + skew + 3),
                 .worker = absl::StrCat("worker-", index)};
  return group;
}

// What a viewer reads: the array, which is not closed.
json ParseTrace(std::string text) {
  const size_t end = text.find_last_of(',');
  if (end != std::string::npos) text.resize(end);
  return json::parse((text.empty() || text[0] != '[' ? "[" : "") + text + "]");
}

std::map<std::string, json> Spans(const json& events) {
  std::map<std::string, json> spans;
  for (const json& event : events) {
    if (event["ph"] == "X") spans[event["args"]["span"]] = event;
  }
  return spans;
}

std::vector<std::string> Ids(const std::map<std::string, json>& spans) {
  std::vector<std::string> ids;
  for (const auto& [id, span] : spans) ids.push_back(id);
  return ids;
}

int64_t Begin(const json& span) { return span["ts"].get<int64_t>(); }
int64_t End(const json& span) { return Begin(span) + span["dur"].get<int64_t>(); }

// Each span has its ids and lies within its parent; what is on one track nests.
void CheckTrace(const json& events, const std::string& run) {
  const std::map<std::string, json> spans = Spans(events);
  std::map<std::pair<int, int>, std::vector<json>> tracks;
  for (const auto& [id, span] : spans) {
    EXPECT_EQ(span["args"]["run"], run) << id;
    EXPECT_TRUE(id.starts_with(absl::StrCat("step/", span["args"]["step"].get<int64_t>()))) << id;
    EXPECT_EQ(span["args"].contains("group"), id.find("/group/") != std::string::npos) << id;
    EXPECT_GE(span["dur"].get<int64_t>(), 0) << id;
    tracks[{span["pid"], span["tid"]}].push_back(span);
    if (!span["args"].contains("parent")) continue;
    const auto parent = spans.find(span["args"]["parent"]);
    ASSERT_NE(parent, spans.end()) << id;
    EXPECT_GE(Begin(span), Begin(parent->second)) << id;
    EXPECT_LE(End(span), End(parent->second)) << id;
  }
  for (const auto& [track, on_it] : tracks) {
    for (const json& one : on_it) {
      for (const json& other : on_it) {
        const bool crossed = Begin(one) < Begin(other) && Begin(other) < End(one) && End(one) < End(other);
        EXPECT_FALSE(crossed) << one["args"]["span"] << " and " << other["args"]["span"];
      }
    }
  }
}

TEST(TraceLines, HaveTheSpansOfAGroupWithinEachOther) {
  const json events = ParseTrace(TraceLines(Step(3, 0), 0, {Group(0, 0), Group(1, 0)}, "R"));
  CheckTrace(events, "R");
  const std::map<std::string, json> spans = Spans(events);
  EXPECT_EQ(spans.size(), 4u + 2 * 6);
  const std::string group = "step/3/group/1";
  EXPECT_THAT(Ids(spans),
              IsSupersetOf({std::string("step/3"), std::string("step/3/train"), group, group + "/queue",
                            group + "/lease", group + "/lease/sample", group + "/lease/grade", group + "/train"}));
  const json& lease = spans.at(group + "/lease");
  EXPECT_EQ(lease["args"]["parent"], group);
  EXPECT_EQ(lease["args"]["worker"], "worker-1");
  EXPECT_EQ(Begin(lease), absl::ToUnixMicros(At(0.5)));
  EXPECT_EQ(End(lease), absl::ToUnixMicros(At(3)));
  EXPECT_EQ(Begin(spans.at(group + "/lease/grade")), absl::ToUnixMicros(At(1.5))) << "before the last sample ended";
  EXPECT_EQ(End(spans.at(group + "/lease/sample")), absl::ToUnixMicros(At(2)));
  EXPECT_EQ(Begin(spans.at(group + "/train")), absl::ToUnixMicros(At(4)));
  EXPECT_EQ(End(spans.at(group + "/train")), absl::ToUnixMicros(At(6)));
}

struct SkewCase {
  std::string name;
  double skew;
  double want_leased, want_handed_in;  // on the trainer's clock
};

class SkewTest : public ::testing::TestWithParam<SkewCase> {};

TEST_P(SkewTest, ShiftsAWorkersTimesBetweenThoseOfTheTrainer) {
  const json events = ParseTrace(TraceLines(Step(1, 0), 0, {Group(0, 0, GetParam().skew)}, "R"));
  CheckTrace(events, "R");
  const json lease = Spans(events).at("step/1/group/0/lease");
  EXPECT_EQ(Begin(lease), absl::ToUnixMicros(At(GetParam().want_leased)));
  EXPECT_EQ(End(lease), absl::ToUnixMicros(At(GetParam().want_handed_in)));
}

INSTANTIATE_TEST_SUITE_P(Cases, SkewTest,
                         ::testing::Values(SkewCase{"None", 0, 0.5, 3}, SkewCase{"FitsAsItIs", 0.25, 0.75, 3.25},
                                           SkewCase{"HoursAhead", 7200, 1, 3.5},
                                           SkewCase{"HoursBehind", -7200, 0.1, 2.6}),
                         [](const auto& c) { return c.param.name; });

TEST(TraceLines, StayInOrderWhateverAWorkerSays) {
  GroupSamples wild = Group(0, 0);
  wild.times.sampled = At(1e6);
  wild.times.grading = At(-1e6);
  GroupSamples backwards = Group(1, 0);
  std::swap(backwards.times.leased, backwards.times.handed_in);
  GroupSamples extreme = Group(2, 0);
  extreme.times.leased = absl::FromUnixMicros(std::numeric_limits<int64_t>::min());
  extreme.times.handed_in = absl::FromUnixMicros(std::numeric_limits<int64_t>::max());
  CheckTrace(ParseTrace(TraceLines(Step(1, 0), 0, {wild, backwards, extreme}, "R")), "R");
}

TEST(TraceLines, HaveOnlyWhatIsKnown) {
  GroupSamples lost{.index = 0};
  lost.times.opened = At(0.1);
  lost.times.fetched = At(3);
  const json events = ParseTrace(TraceLines(Step(1, 0), 0, {lost, GroupSamples{.index = 1}}, "R"));
  CheckTrace(events, "R");
  const std::map<std::string, json> spans = Spans(events);
  EXPECT_THAT(Ids(spans), IsSupersetOf({"step/1/group/0", "step/1/group/0/train", "step/1/group/1"}));
  EXPECT_THAT(Ids(spans), Not(Contains("step/1/group/0/lease")));
}

TEST(TraceLines, KeepGroupsThatAreUnderWayAtOnceApart) {
  // With a lag of 1 the batch of step 2 is opened when step 1 begins.
  std::string text;
  for (int64_t step = 1; step <= 6; ++step) {
    const double begun = 8 * static_cast<double>(step - 1);
    GroupSamples group = Group(0, begun);
    group.times.opened = At(begun - (step == 1 ? 0 : 8));
    text += TraceLines(Step(step, begun), 1, {group}, "R");
  }
  CheckTrace(ParseTrace(text), "R");
}

class RunTraceTest : public ::testing::Test {
 protected:
  RunTraceTest() : file_(std::filesystem::temp_directory_path() / absl::StrCat("run_trace_", getpid(), ".json")) {
    std::filesystem::remove(file_);
  }
  ~RunTraceTest() override { std::filesystem::remove(file_); }
  std::string Text() const { return ReadFile(file_).value_or(""); }
  std::vector<int64_t> StepsInFile() const {
    std::set<int64_t> steps;
    for (const auto& [id, span] : Spans(ParseTrace(Text()))) steps.insert(span["args"]["step"].get<int64_t>());
    return {steps.begin(), steps.end()};
  }
  void Write(RunTrace& trace, int64_t from, int64_t to) {
    for (int64_t step = from; step <= to; ++step) {
      const double begun = 8 * static_cast<double>(step);
      trace.Step(evilmoe::Step(step, begun), 0, {Group(0, begun), Group(1, begun)});
    }
  }
  static evilmoe::StepTimes Step(int64_t step, double begun) { return evilmoe::Step(step, begun); }

  const std::filesystem::path file_;
};

TEST_F(RunTraceTest, IsAnArrayOfOneEventALine) {
  RunTrace trace(file_, {}, "R");
  Write(trace, 1, 3);
  EXPECT_TRUE(Text().starts_with("[\n"));
  CheckTrace(ParseTrace(Text()), "R");
  std::istringstream lines(Text().substr(2));
  for (std::string line; std::getline(lines, line);) {
    ASSERT_EQ(line.back(), ',');
    line.pop_back();
    EXPECT_TRUE(json::accept(line)) << line;
  }
}

TEST_F(RunTraceTest, TracesEveryNthStepOrNone) {
  RunTrace third(file_, {.every = 3}, "R");
  Write(third, 1, 7);
  EXPECT_THAT(StepsInFile(), ElementsAre(3, 6));
  std::filesystem::remove(file_);
  RunTrace none(file_, {.every = 0}, "R");
  Write(none, 1, 7);
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(RunTraceTest, AResumedRunWritesItsStepsOnce) {
  {
    RunTrace trace(file_, {}, "R");
    Write(trace, 1, 4);
    ASSERT_TRUE(AppendFile(file_, R"({"name": "half a li)").ok());
  }
  RunTrace resumed(file_, {}, "R");
  resumed.RewindTo(2);
  EXPECT_THAT(StepsInFile(), ElementsAre(1, 2));
  Write(resumed, 3, 5);
  EXPECT_THAT(StepsInFile(), ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(RunTraceTest, LinesThatAreNoEventsAreDropped) {
  {
    RunTrace trace(file_, {}, "R");
    Write(trace, 1, 1);
    for (const char* line : {R"({"name": "x", "args": 5},)", R"({"args": {"step": "two"}},)", "[1],", "null,"}) {
      ASSERT_TRUE(AppendFile(file_, std::string(line) + "\n").ok());
    }
  }
  RunTrace resumed(file_, {}, "R");
  resumed.RewindTo(1);
  EXPECT_THAT(StepsInFile(), ElementsAre(1));
  EXPECT_THAT(Text(), ::testing::Not(::testing::HasSubstr("two")));
}

TEST_F(RunTraceTest, AFileThatCannotBeReadIsGivenUp) {
  std::filesystem::create_directories(file_);  // a folder in its place
  RunTrace trace(file_, {}, "R");
  trace.RewindTo(0);
  Write(trace, 1, 2);
  EXPECT_TRUE(std::filesystem::is_empty(file_));
  std::filesystem::remove(file_);
}

TEST_F(RunTraceTest, AFolderThatIsNotThereCostsTheRunNothing) {
  RunTrace trace(file_ / "none" / "trace.json", {}, "R");
  trace.RewindTo(0);
  Write(trace, 1, 2);
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(RunTraceTest, EndsAtItsBoundAndSaysSo) {
  RunTrace trace(file_, {.max_mib = 1}, "R");
  Write(trace, 1, 400);
  EXPECT_LE(std::filesystem::file_size(file_), (1u << 20) + 300);
  EXPECT_GT(StepsInFile().size(), 50u);
  const json events = ParseTrace(Text());
  EXPECT_EQ(events.back()["ph"], "i");
  EXPECT_THAT(events.back()["name"].get<std::string>(), ::testing::HasSubstr("trace.max_mib is reached"));
  RunTrace resumed(file_, {.max_mib = 1}, "R");  // there is room again
  resumed.RewindTo(2);
  Write(resumed, 3, 3);
  EXPECT_THAT(StepsInFile(), ElementsAre(1, 2, 3));
}

}  // namespace
}  // namespace evilmoe
