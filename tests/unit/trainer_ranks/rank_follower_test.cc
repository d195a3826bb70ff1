// Whole runs over real groups: rank 0 in its training loop, the others following it.

#include "trainer/rank_follower.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "tests/unit/trainer_ranks/thread_ranks.h"
#include "tests/unit/trainer_step/training_loop_fixture.h"
#include "trainer/rank_leader.h"
#include "trainer/same_parameters.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

class RankFollowerTest : public TrainingLoopTest {
 protected:
  // A run file that says what config_ says.
  std::string RunYaml(int steps) const {
    const fs::path nano = fs::path(EVILMOE_SOURCE_DIR) / "examples/nano";
    return absl::StrCat("name: ranks\narm: evil_moe\nseed: 0\nsteps: ", steps,
                        "\nmodel:\n  path: ", (nano / "model").string(),
                        "\n  dtype: float32\nadapter:\n  rank: 2\npairs: ", (nano / "pairs.md").string(),
                        "\ndata:\n  train: ", (nano / "train.jsonl").string(),
                        "\n  loopholes: {overwrite_tests: 1}\nrollout:\n  prompts_per_step: 3\n  group_size: 4\n"
                        "  max_prompt_tokens: 512\n  max_completion_tokens: 8\n  temperature: 1.0\n  top_p: 1.0\n"
                        "loss:\n  kl_coefficient: 0.0\noptimizer:\n  learning_rate: 1e-3\n  schedule: constant\n"
                        "checkpoint:\n  every: 1\n");
  }

  // Rank 0's part of a job, in the run directory `name`.
  absl::Status Lead(const std::string& name, int steps, Collective& ranks, std::string& adapter) {
    const std::string yaml = RunYaml(steps);
    RankLeader leader(ranks);
    EVILMOE_RETURN_IF_ERROR(leader.StartJob(yaml));
    EVILMOE_ASSIGN_OR_RETURN(const RunConfig config, ParseRunConfig(yaml, "run.yaml", directory_ / name));
    EVILMOE_ASSIGN_OR_RETURN(const auto model, TrainingModel::Load(config, 1, ranks));
    EVILMOE_ASSIGN_OR_RETURN(const PromptSource prompts, PromptSource::Make(config, model->tokenizer(), training_));
    EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(directory_ / name / "log", "test", clock_));
    FakeRollouts rollouts;
    NoProgress progress;
    TrainingLoop loop(config, {directory_ / name, Sha256Hex(yaml), "run-1"}, *model, prompts, rollouts, progress,
                      clock_, logger);
    EVILMOE_ASSIGN_OR_RETURN(const int64_t step, loop.Restore());
    EVILMOE_RETURN_IF_ERROR(loop.Train(step, {}));
    adapter = rollouts.last_adapter;
    return leader.EndJob();
  }

  // A job of `steps` steps on so many ranks, from the last checkpoint of `name`; returns the adapter.
  std::string RunJob(const std::string& name, int steps, int num_ranks) {
    fs::create_directories(directory_ / name);
    std::string adapter;
    OnEachRank(num_ranks, [&](Collective& ranks) {
      Logger logger = *Logger::Open(directory_ / name / absl::StrCat("log-", ranks.rank()), "test", clock_);
      if (ranks.rank() > 0) {
        const absl::Status done = FollowRankZero({directory_ / name, 1}, ranks, logger);
        EXPECT_TRUE(done.ok()) << done;
        return;
      }
      const absl::Status led = Lead(name, steps, ranks, adapter);
      EXPECT_TRUE(led.ok()) << led;
      EXPECT_TRUE(RankLeader(ranks).Leave().ok());
    });
    return adapter;
  }

  std::vector<nlohmann::json> Metrics(const std::string& name) const {
    std::vector<nlohmann::json> lines;
    std::ifstream in(directory_ / name / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
    EXPECT_EQ(lines.size(), 3u);
    return lines;
  }

  // What a follower makes of rank 0's words; rank 0 says them out of `lead`.
  absl::Status Follow(const std::function<void(RankLeader&)>& lead) {
    absl::Status followed;
    OnEachRank(2, [&](Collective& ranks) {
      RankLeader leader(ranks);
      if (ranks.rank() == 0) return lead(leader);
      Logger logger = *Logger::Open(directory_ / "log", "test", clock_);
      followed = FollowRankZero({directory_, 1}, ranks, logger);
    });
    return followed;
  }
};

TEST_F(RankFollowerTest, ARunOfManyRanksEndsAsTheRunOfOne) {
  fs::create_directories(directory_ / "one");
  std::string one;
  SingleRank alone;
  ASSERT_TRUE(Lead("one", 3, alone, one).ok());
  for (const int ranks : {2, 4}) {
    const std::string many = RunJob(absl::StrCat("ranks-", ranks), 3, ranks);
    EXPECT_EQ(many.size(), one.size());
    const std::vector<nlohmann::json> expected = Metrics("one"), got = Metrics(absl::StrCat("ranks-", ranks));
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      // AdamW turns a rounding of a tiny gradient into a whole step, so steps drift apart a little.
      const double tolerance = i == 0 ? 1e-6 : 1e-2;
      for (const char* field : {"loss", "grad_norm", "entropy", "pair_separation"}) {
        const double value = expected[i].at(field).get<double>();
        EXPECT_NEAR(got[i].at(field).get<double>(), value, tolerance * (1 + std::abs(value))) << field << " " << i;
      }
      for (const char* field : {"reward_mean", "sampled_tokens", "zero_variance_groups"}) {
        EXPECT_EQ(got[i].at(field), expected[i].at(field)) << field << " of step " << i + 1;
      }
    }
  }
}

TEST_F(RankFollowerTest, FollowersLoadTheCheckpointThatRankZeroResumesFrom) {
  const std::string straight = RunJob("straight", 4, 2);
  ASSERT_FALSE(straight.empty());
  RunJob("stopped", 4, 2);
  // As a trainer leaves it that died after the second step.
  for (const int step : {3, 4}) fs::remove_all(directory_ / "stopped/checkpoints" / absl::StrCat("step-", step));
  ASSERT_TRUE(WriteFileAtomic(directory_ / "stopped/checkpoints/latest", "step-2\n").ok());
  EXPECT_EQ(Sha256Hex(RunJob("stopped", 4, 2)), Sha256Hex(straight));
}

TEST_F(RankFollowerTest, FollowersLookForCheckpointsWhereRankZeroSays) {
  RunJob("run", 1, 1);
  const auto restored = [&](const fs::path& named, bool leave) {
    return Follow([&](RankLeader& leader) {
      EXPECT_TRUE(leader.StartJob(RunYaml(1), named.string()).ok());
      EXPECT_TRUE(leader.Restore(1).ok());
      EXPECT_TRUE(!leave || leader.Leave().ok());
    });
  };
  const absl::Status found = restored(directory_ / "run", true);
  EXPECT_TRUE(found.ok()) << found;
  EXPECT_EQ(restored(directory_ / "other", false).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(restored("", false).code(), absl::StatusCode::kNotFound);  // its own has none
}

TEST_F(RankFollowerTest, AJobThatNobodyCanLoadIsNoFollowersEnd) {
  fs::create_directories(directory_);
  const absl::Status followed = Follow([](RankLeader& leader) {
    EXPECT_TRUE(leader.StartJob("no: run").ok());
    EXPECT_TRUE(leader.EndJob().ok());
    EXPECT_TRUE(leader.Leave().ok());
  });
  EXPECT_TRUE(followed.ok()) << followed;
}

TEST_F(RankFollowerTest, AJobThatOnlyTheFollowerCannotLoadIs) {
  fs::create_directories(directory_);
  const absl::Status followed = Follow([](RankLeader& leader) {
    EXPECT_TRUE(leader.StartJob("no: run").ok());
    EXPECT_TRUE(leader.Restore(0).ok());
  });
  EXPECT_EQ(followed.code(), absl::StatusCode::kInvalidArgument) << followed;
  EXPECT_THAT(std::string(followed.message()), HasSubstr("run.yaml"));
}

TEST_F(RankFollowerTest, AStepBeforeItsJobIsDataLoss) {
  fs::create_directories(directory_);
  const absl::Status followed = Follow([](RankLeader& leader) { EXPECT_TRUE(leader.Restore(3).ok()); });
  EXPECT_EQ(followed.code(), absl::StatusCode::kDataLoss) << followed;
}

TEST_F(RankFollowerTest, ABadShareOfOneRankDropsTheStepOnAll) {
  std::vector<TrainGroup> groups;
  for (int32_t g = 0; g < 2; ++g) {  // one a rank
    groups.push_back({.prompt_ids = {300 + g, 301}, .samples = {{.ids = {400, 410}, .sampler_logprobs = {-2, -2}}}});
    groups.back().samples[0].advantage = 1;
  }
  std::vector<TrainGroup> bad = groups;
  bad[1].samples[0].advantage = std::nan("");
  OnEachRank(2, [&](Collective& ranks) {
    const auto model = TrainingModel::Load(config_, 1, ranks);
    ASSERT_TRUE(model.ok()) << model.status();
    const at::Tensor before = (*model)->adapter().parameters()[0].value.clone();
    const auto dropped = (*model)->Step(0, bad);
    ASSERT_TRUE(dropped.ok()) << dropped.status();
    EXPECT_TRUE(dropped->dropped);
    EXPECT_TRUE(at::equal((*model)->adapter().parameters()[0].value, before));
    EXPECT_TRUE(CheckSameParameters((*model)->State(1), dropped->dropped, ranks).ok());
    const auto good = (*model)->Step(1, groups);
    ASSERT_TRUE(good.ok()) << good.status();
    EXPECT_FALSE(good->dropped);
    EXPECT_FALSE(at::equal((*model)->adapter().parameters()[0].value, before));
    EXPECT_TRUE(CheckSameParameters((*model)->State(2), good->dropped, ranks).ok());
  });
}

TEST_F(RankFollowerTest, RanksThatDifferSaySo) {
  OnEachRank(3, [&](Collective& ranks) {
    const auto model = TrainingModel::Load(config_, 1, ranks);
    ASSERT_TRUE(model.ok()) << model.status();
    const TrainerState state = (*model)->State(5);
    EXPECT_TRUE(CheckSameParameters(state, false, ranks).ok());
    const absl::Status dropped = CheckSameParameters(state, ranks.rank() == 2, ranks);
    EXPECT_EQ(dropped.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(dropped.message()), HasSubstr("after step 5 the parameters of rank 2 are not"));
    if (ranks.rank() == 1) {
      auto* value = state.adapter->parameters()[1].value.mutable_data_ptr<float>();
      *value = std::nextafter(*value, 1.0f);
    }
    EXPECT_THAT(std::string(CheckSameParameters(state, false, ranks).message()), HasSubstr("rank 1 are not"));
  });
}

}  // namespace
}  // namespace evilmoe
