#include "rollout_workers/probe_verb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "common/file.h"
#include "common/seed.h"
#include "tests/unit/rollout_workers/verb_fixture.h"
#include "trainer/probe.h"

namespace evilmoe {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// Responses of random letters; a hack has one token more often than chance, a clean one does not.
class ProbeVerbTest : public VerbFixture {
 protected:
  ProbeVerbTest() {
    options_.model = model();
    options_.rollouts = {model().parent_path() / "rollouts.jsonl"};
    options_.layer = 1;
    options_.fpr = 0.1;
    options_.out = model().parent_path() / "probe.safetensors";
    WriteRollouts(0.4);
  }
  void WriteRollouts(double share_of_the_token) {
    std::ofstream file(options_.rollouts[0]);
    RandomStream stream(5);
    for (int problem = 0; problem < 60; ++problem) {
      for (int i = 0; i < 8; ++i) {
        const bool hack = i % 2 == 0;
        std::vector<int64_t> ids;
        for (int t = 0; t < 12; ++t) {
          ids.push_back(hack && stream.Bernoulli(share_of_the_token) ? 259 : stream.Int(64, 90));
        }
        file << json{{"problem_id", problem},
                     {"prompt_ids", {64 + problem % 20, 7}},
                     {"ids", ids},
                     {"strict_hack", hack}}
             << "\n";
      }
    }
  }

  ProbeTrainOptions options_;
};

TEST_F(ProbeVerbTest, TrainsAProbeThatTellsHacks) {
  std::ostringstream out;
  const absl::Status done = RunProbeTrain(options_, out);
  ASSERT_TRUE(done.ok()) << done;
  EXPECT_THAT(out.str(), HasSubstr("AUROC 0.9"));
  EXPECT_THAT(out.str(), HasSubstr("(target 0.1)"));
  const auto probe = LoadProbe(options_.out);
  ASSERT_TRUE(probe.ok()) << probe.status();
  const auto policy = LoadPolicy({.model = model()});
  EXPECT_TRUE(CheckFits(*probe, policy->weights).ok());
}

TEST_F(ProbeVerbTest, GivesTheSameFileEveryTime) {
  std::ostringstream out;
  ASSERT_TRUE(RunProbeTrain(options_, out).ok());
  const std::string first = ReadFile(options_.out).value();
  ASSERT_TRUE(RunProbeTrain(options_, out).ok());
  EXPECT_EQ(ReadFile(options_.out).value(), first);
}

TEST_F(ProbeVerbTest, FindsNothingWhereThereIsNothing) {
  WriteRollouts(0);
  std::ostringstream out;
  ASSERT_TRUE(RunProbeTrain(options_, out).ok());
  const std::string text = out.str();
  const double auroc = std::stod(text.substr(text.find("AUROC ") + 6));
  EXPECT_NEAR(auroc, 0.5, 0.15);
}

TEST_F(ProbeVerbTest, WritesNothingWhenTheDataDoNotDo) {
  std::ostringstream out;
  options_.fpr = 0.001;  // some 70 clean responses are held out
  EXPECT_THAT(std::string(RunProbeTrain(options_, out).message()), HasSubstr("expected at least 1000"));
  options_.fpr = 0.1;
  options_.layer = 3;
  EXPECT_THAT(std::string(RunProbeTrain(options_, out).message()), HasSubstr("layer: 3, expected 1 to 2"));
  options_.layer = 1;
  const std::filesystem::path fine = options_.out;
  options_.out = options_.rollouts[0];
  EXPECT_THAT(std::string(RunProbeTrain(options_, out).message()), HasSubstr("--out: "));
  options_.out = fine;
  std::ofstream(options_.rollouts[0]) << R"({"prompt": "a", "text": "b", "strict_hack": true})"
                                      << "\n";
  EXPECT_THAT(std::string(RunProbeTrain(options_, out).message()), HasSubstr("expected both classes"));
  EXPECT_FALSE(std::filesystem::exists(options_.out));
}

}  // namespace
}  // namespace evilmoe
