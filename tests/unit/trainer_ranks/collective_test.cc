// c10d over real processes and real sockets, and over threads where nothing has to die.

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/unit/trainer_ranks/child.h"
#include "tests/unit/trainer_ranks/thread_ranks.h"
#include "trainer/c10d_collective.h"

namespace evilmoe {
namespace {

using ::testing::StartsWith;

class SumTest : public ::testing::TestWithParam<int> {};

TEST_P(SumTest, GivesEveryRankTheSameBitsOfTheSum) {
  const int size = GetParam();
  std::vector<at::Tensor> terms, sums(static_cast<size_t>(size));
  at::Tensor exact = at::zeros({100'003}, at::kDouble);
  for (int rank = 0; rank < size; ++rank) {
    terms.push_back(at::randn({100'003}));
    exact += terms.back();
  }
  OnEachRank(size, [&](Collective& ranks) {
    const auto rank = static_cast<size_t>(ranks.rank());
    EXPECT_EQ(ranks.size(), size);
    sums[rank] = terms[rank].clone();
    EXPECT_TRUE(ranks.Sum(sums[rank]).ok());
  });
  for (const at::Tensor& sum : sums) {
    EXPECT_EQ(std::memcmp(sum.const_data_ptr(), sums[0].const_data_ptr(), sum.nbytes()), 0);
    EXPECT_LT((sum.to(at::kDouble) - exact).abs().max().item<double>(), 1e-5);
  }
}

TEST_P(SumTest, AddsDoublesAndIntegersAndNothing) {
  OnEachRank(GetParam(), [&](Collective& ranks) {
    at::Tensor doubles = at::full({3}, 0.1, at::kDouble);
    at::Tensor integers = at::full({2, 2}, int64_t{1} << 40, at::kLong);
    at::Tensor empty = at::zeros({0});
    EXPECT_TRUE(ranks.Sum(doubles).ok());
    EXPECT_TRUE(ranks.Sum(integers).ok());
    EXPECT_TRUE(ranks.Sum(empty).ok());
    EXPECT_NEAR(doubles[2].item<double>(), 0.1 * ranks.size(), 1e-15);
    EXPECT_EQ(integers[1][0].item<int64_t>(), (int64_t{1} << 40) * ranks.size());
  });
}

TEST_P(SumTest, BroadcastsWhatRankZeroHas) {
  const std::vector<std::string> messages = {"", std::string("a\0b", 3), std::string(3'000'000, 'x')};
  OnEachRank(GetParam(), [&](Collective& ranks) {
    for (const std::string& message : messages) {
      EXPECT_TRUE(ranks.AwaitTurn().ok());
      const auto got = ranks.Broadcast(ranks.rank() == 0 ? message : "ignored");
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_TRUE(*got == message);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, SumTest, ::testing::Values(2, 4), [](const auto& c) { return absl::StrCat(c.param); });

TEST(C10dCollective, RefusesARankThatIsNone) {
  const absl::StatusOr<ServedStore> server = ServeRankStore();
  ASSERT_TRUE(server.ok());
  EXPECT_EQ(C10dCollective::Join(server->store, {.rank = 2, .size = 2}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(C10dCollective, GivesUpOnARankThatNeverComes) {
  const absl::StatusOr<ServedStore> server = ServeRankStore();
  ASSERT_TRUE(server.ok());
  const auto joined =
      C10dCollective::Join(server->store, {.rank = 0, .size = 2, .join_deadline = absl::Milliseconds(300)});
  EXPECT_EQ(joined.status().code(), absl::StatusCode::kDeadlineExceeded) << joined.status();
}

TEST(C10dCollective, ANewGenerationWorksAfterADeadGroup) {
  const absl::StatusOr<ServedStore> server = ServeRankStore();
  ASSERT_TRUE(server.ok());
  for (const int generation : {0, 1}) {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < 2; ++rank) {
      threads.emplace_back([&, rank] {
        const absl::StatusOr<RankStore> store = ConnectRankStore(server->port, kPatience);
        ASSERT_TRUE(store.ok()) << store.status();
        auto ranks =
            C10dCollective::Join(*store, {.rank = rank, .size = 2, .generation = generation, .deadline = kPatience});
        ASSERT_TRUE(ranks.ok()) << ranks.status();
        if (rank == 1) return;  // leaves the other one alone
        at::Tensor flat = at::ones({4});
        EXPECT_EQ((*ranks)->Sum(flat).code(), absl::StatusCode::kUnavailable);
        EXPECT_EQ((*ranks)->Sum(flat).code(), absl::StatusCode::kUnavailable) << "a dead group stays dead";
        EXPECT_FALSE((*ranks)->Broadcast("").ok());
        EXPECT_FALSE((*ranks)->AwaitTurn().ok());
      });
    }
  }
}

// Ranks as processes that do what they are told.
class RankProcessesTest : public ::testing::TestWithParam<int> {
 protected:
  void Start(absl::Duration deadline) {
    errors_ = std::filesystem::path(::testing::TempDir()) / absl::StrCat("rank-errors-", getpid());
    server_ = ServeRankStore();
    ASSERT_TRUE(server_.ok()) << server_.status();
    for (int rank = 0; rank < GetParam(); ++rank) {
      ranks_.emplace_back(std::vector<std::string>{"--rank", absl::StrCat(rank), "--size", absl::StrCat(GetParam()),
                                                   "--store-port", absl::StrCat(server_->port), "--timeout-ms",
                                                   absl::StrCat(absl::ToInt64Milliseconds(deadline))},
                          errors_);
    }
    for (Child& rank : ranks_) ASSERT_EQ(rank.Hear(), "joined");
  }
  // All but the last rank, which is the one that something happens to.
  void TellOthers(const std::string& command) {
    for (size_t i = 0; i + 1 < ranks_.size(); ++i) {
      ranks_[i].Say(command);
      ASSERT_EQ(ranks_[i].Hear(), "begin " + command);
    }
  }
  void ExpectOthers(const std::string& code) {
    for (size_t i = 0; i + 1 < ranks_.size(); ++i) EXPECT_THAT(ranks_[i].Hear(), StartsWith(code)) << "rank " << i;
  }

  std::filesystem::path errors_;
  absl::StatusOr<ServedStore> server_;
  std::vector<Child> ranks_;
};

TEST_P(RankProcessesTest, SumBroadcastAndWaitWithoutADeadline) {
  Start(absl::Seconds(20));
  for (Child& rank : ranks_) rank.Say("sum");
  const double sum = 1000.0 * GetParam() * (GetParam() + 1) / 2;
  for (Child& rank : ranks_) {
    EXPECT_EQ(rank.Hear(), "begin sum");
    EXPECT_EQ(rank.Hear(), absl::StrCat("OK ", sum));
  }
  for (size_t i = ranks_.size(); i > 0; --i) ranks_[i - 1].Say("turn");
  for (Child& rank : ranks_) {
    EXPECT_EQ(rank.Hear(), "begin turn");
    EXPECT_EQ(rank.Hear(), "OK ");
  }
}

TEST_P(RankProcessesTest, AKilledRankEndsTheOthersOperationAtOnce) {
  Start(kPatience);  // which no one waits for
  TellOthers("sum");
  const auto begin = std::chrono::steady_clock::now();
  ranks_.back().Signal(SIGKILL);
  ExpectOthers("UNAVAILABLE sum on rank");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  TellOthers("sum");
  ExpectOthers("UNAVAILABLE sum on rank");
}

TEST_P(RankProcessesTest, AFrozenRankEndsTheOthersOperationAtTheDeadline) {
  Start(absl::Seconds(2));
  ranks_.back().Freeze();
  const auto begin = std::chrono::steady_clock::now();
  TellOthers("sum");
  // The first whose time is over closes its connections, which the others may see before their own is.
  bool timed_out = false;
  for (size_t i = 0; i + 1 < ranks_.size(); ++i) {
    const std::string answer = ranks_[i].Hear();
    timed_out |= answer.starts_with("DEADLINE_EXCEEDED sum on rank");
    EXPECT_TRUE(answer.starts_with("DEADLINE_EXCEEDED") || answer.starts_with("UNAVAILABLE")) << answer;
  }
  EXPECT_TRUE(timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

INSTANTIATE_TEST_SUITE_P(Ranks, RankProcessesTest, ::testing::Values(2, 4),
                         [](const auto& c) { return absl::StrCat(c.param); });

}  // namespace
}  // namespace evilmoe
