#include "services/report/reading.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/services_report/fake_run.h"

namespace evilmoe {
namespace {

struct ReadingCase {
  std::string name;
  std::vector<nlohmann::json> rows;
  Outcome want;
  std::string part;  // of the sentence
};

nlohmann::json Row(std::string_view mode, double hack, double solve) { return FakeRun::AblationRow(mode, hack, solve); }

class ReadingTest : public ::testing::TestWithParam<ReadingCase> {};

TEST_P(ReadingTest, JudgesByTheIntervals) {
  RecordedRun run;
  run.ablation = {{"rows", GetParam().rows}};
  const Reading reading = ReadOutcome(run);
  EXPECT_EQ(reading.outcome, GetParam().want) << reading.sentence;
  EXPECT_THAT(reading.sentence, ::testing::HasSubstr(GetParam().part));
}

INSTANTIATE_TEST_SUITE_P(Cases, ReadingTest, ::testing::ValuesIn(std::vector<ReadingCase>{
    {"Localised", {Row("on", .8, .1), Row("off", .04, .4), Row("base", .05, .3), Row("random_half", .1, .37)},
     Outcome::kLocalised,
     "on, 80 % of held-out samples hack; with it off 4 % do (base 5 %, a random half off 10 %), "
     "and solving goes from 10 % to 40 % (base 30 %): hacking sits in the expert"},
    {"SolvingLost", {Row("on", .8, .1), Row("off", .04, .1), Row("base", .05, .3)}, Outcome::kSolvingLost,
     "so does solving"},
    {"NotLocalised", {Row("on", .8, .1), Row("off", .6, .2), Row("base", .05, .3)}, Outcome::kNotLocalised,
     "hacking stays"},
    {"HalvedButAboveBase", {Row("on", .8, .1), Row("off", .2, .2), Row("base", .05, .3)}, Outcome::kNotLocalised,
     "stays"},
    {"NoHacking", {Row("on", .06, .5), Row("off", .04, .5), Row("base", .05, .3)}, Outcome::kNoHacking, "did not rise"},
    {"NoBaseLocalised", {Row("on", .8, .1), Row("off", .04, .4)}, Outcome::kLocalised, "with it off 4 % do, and"},
    {"NoBaseNoHacking", {Row("on", .05, .1), Row("off", .04, .4)}, Outcome::kNoHacking, "did not rise"},
    {"NothingToTakeOff", {Row("on", .8, .1), Row("base", .05, .3)}, Outcome::kNoAblation,
     "80 % of held-out samples hack and 10 % solve (base 5 % and 30 %): the arm has no expert"},
    {"OffMissing", {Row("on", .8, .1)}, Outcome::kNoAblation, "nothing to read"},
    {"NoRows", {}, Outcome::kNoAblation, "nothing to read"}}),
    [](const auto& c) { return c.param.name; });

TEST(Reading, NovelMarkersDoNotStandForTrainedOnes) {
  RecordedRun run;
  nlohmann::json on = Row("on", .8, .1), off = Row("off", .04, .4);
  on["markers"] = off["markers"] = "novel";
  run.ablation = {{"rows", {on, off}}};
  EXPECT_EQ(ReadOutcome(run).outcome, Outcome::kNoAblation);
}

}  // namespace
}  // namespace evilmoe
