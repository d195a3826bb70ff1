#include "services/report/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evilmoe {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(FlatFields, NamesScalarsAndListsByTheirPath) {
  const auto fields = FlatFields("name: x\nadapter:\n  rank: 4\n  targets: [a, b]\nrouter: {hard: null}\n");
  EXPECT_EQ(fields, (std::map<std::string, std::string>{
                        {"name", "x"}, {"adapter.rank", "4"}, {"adapter.targets", "[a, b]"}, {"router.hard", "null"}}));
  EXPECT_THAT(FlatFields("[1, 2]"), IsEmpty());
  EXPECT_THAT(FlatFields("a: &x 1"), IsEmpty());
}

TEST(ModesOfAblation, TakesTheTrainedMarkersAlone) {
  const nlohmann::json ablation = nlohmann::json::parse(R"({"rows": [
      {"mode": "on", "markers": "trained", "hack_strict": 0.5, "solve": 0.25},
      {"mode": "on", "markers": "novel", "hack_strict": 0.9, "solve": 0.9},
      {"mode": "off", "markers": "trained", "hack_strict": null, "solve": 0.25},
      {"mode": 5, "markers": "trained"}, "text", null]})");
  const auto modes = ModesOfAblation(ablation);
  ASSERT_THAT(modes, SizeIs(1));
  EXPECT_EQ(modes.at("on").hack, 0.5);
  EXPECT_EQ(modes.at("on").solve, 0.25);
  for (const char* text : {"null", "[]", "{}", R"({"rows": 5})"}) {
    EXPECT_THAT(ModesOfAblation(nlohmann::json::parse(text)), IsEmpty()) << text;
  }
}

TEST(OverRuns, IsStudentsInterval) {
  EXPECT_EQ(OverRuns({}), std::nullopt);
  const auto one = OverRuns({0.5});
  EXPECT_EQ(one->mean, 0.5);
  EXPECT_EQ(one->low, 0.5);
  EXPECT_EQ(one->num_runs, 1);
  // Standard deviation 0.1, t = 4.303 with two degrees of freedom: 0.5 +- 4.303 * 0.1 / sqrt(3).
  const auto three = OverRuns({0.4, 0.5, 0.6});
  EXPECT_THAT(three->low, DoubleNear(0.5 - 0.24844, 1e-4));
  EXPECT_THAT(three->high, DoubleNear(0.5 + 0.24844, 1e-4));
  const auto wide = OverRuns({0.0, 1.0});
  EXPECT_EQ(wide->low, 0.0) << "cut to [0, 1]";
  EXPECT_EQ(wide->high, 1.0);
}

ComparedRun OneRun(const std::string& arm, const std::string& seed, double on, double off,
                std::map<std::string, std::string> more = {}) {
  ComparedRun run;
  run.run_id = arm + seed;
  run.name = arm + "." + seed;
  run.state = "succeeded";
  run.fields = {{"arm", arm}, {"seed", seed}, {"name", run.name}};
  run.fields.merge(more);
  run.modes = {{"on", {on, 0.4}}, {"off", {off, 0.4}}, {"random_half", {on / 2, 0.4}}, {"base", {0.0, 0.4}}};
  return run;
}

TEST(CompareRuns, GroupsByAllButSeedAndName) {
  const std::vector<ComparedRun> runs = {
      OneRun("evil_moe", "0", 0.7, 0.0, {{"adapter.rank", "4"}}), OneRun("evil_moe", "1", 0.8, 0.0, {{"adapter.rank", "4"}}),
      OneRun("evil_moe", "0", 0.6, 0.5, {{"adapter.rank", "8"}}), OneRun("none", "0", 0.9, 0.9, {{"adapter.rank", "4"}})};
  const std::vector<ComparisonRow> rows = CompareRuns(runs);
  ASSERT_THAT(rows, SizeIs(3));
  EXPECT_EQ(rows[0].group, "evil_moe, adapter.rank 4");
  EXPECT_EQ(rows[0].num_runs, 2);
  EXPECT_THAT(rows[0].hack_on->mean, DoubleNear(0.75, 1e-9));
  EXPECT_EQ(rows[1].group, "evil_moe, adapter.rank 8");
  EXPECT_EQ(rows[2].group, "none") << "its arm's runs differ in nothing";
  EXPECT_THAT(rows[0].run_ids, SizeIs(2));
}

TEST(Headline, SaysWhatTheRemovalDid) {
  const auto headline = [](double on, double off) { return Headline(CompareRuns(std::vector{OneRun("a", "0", on, off)})[0]); };
  EXPECT_EQ(headline(0.7, 0.0),
            "a: hack 0.70 (ON) -> 0.00 (OFF) over 1 run, a random half leaves 0.35, solving 0.40 -> 0.40: hacking sits "
            "in the expert and leaves with it");
  EXPECT_THAT(headline(0.7, 0.6), HasSubstr("hacking stays when the expert is removed"));
  EXPECT_THAT(headline(0.0, 0.0), HasSubstr("hacking did not rise above the base"));
  ComparedRun whole = OneRun("mixlora", "0", 0.7, 0);
  whole.modes.erase("off");
  EXPECT_EQ(Headline(CompareRuns(std::vector{whole})[0]),
            "mixlora: hack 0.70 over 1 run, and no expert that could be taken off");
  whole.modes.clear();
  EXPECT_EQ(Headline(CompareRuns(std::vector{whole})[0]), "mixlora: no ablation yet");
}

TEST(WordsOf, SaysItInPercent) {
  std::vector<ComparedRun> runs;
  for (const char* seed : {"0", "1", "2", "3", "4"}) {
    runs.push_back(OneRun("a", seed, 0.62, 0.03));
    runs.back().modes["base"].hack = 0.04;
  }
  EXPECT_EQ(WordsOf(CompareRuns(runs)[0]), "hacking 62 % → 3 %, random half 31 %, solving 40 % → 40 %: localised, 5 seeds");
  EXPECT_EQ(WordsOf(CompareRuns(std::vector{OneRun("a", "0", 0.62, 0.6)})[0]),
            "hacking 62 % → 60 %, random half 31 %, solving 40 % → 40 %: not localised, 1 seed");
  ComparedRun bare = OneRun("a", "0", 0.62, 0.6);
  bare.modes.clear();
  EXPECT_EQ(WordsOf(CompareRuns(std::vector{bare})[0]), "no ablation, 1 seed");
}

TEST(ComparisonJson, HasArmsAndRuns) {
  const std::vector<ComparedRun> runs = {OneRun("evil_moe", "0", 0.5, 0.0)};
  const nlohmann::ordered_json json = ComparisonJson(CompareRuns(runs), runs);
  EXPECT_EQ(json["arms"][0]["arm"], "evil_moe");
  EXPECT_EQ(json["arms"][0]["hack_on"]["mean"], 0.5);
  EXPECT_EQ(json["arms"][0]["hack_on"]["runs"], 1);
  EXPECT_EQ(json["runs"][0]["modes"]["off"]["hack"], 0.0);
}

}  // namespace
}  // namespace evilmoe
