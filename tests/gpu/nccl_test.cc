// Sums over ranks by NCCL: one rank on one GPU, two where there are two.

#include <ATen/ATen.h>

#include <thread>
#include <vector>

#include "tests/gpu/gpu.h"
#include "trainer/c10d_collective.h"

namespace evilmoe {
namespace {

class NcclTest : public GpuTest {
 protected:
  // Every rank sums its number over the ranks, on its GPU and on the CPU, and hears rank 0's word.
  static void SumOver(int size) {
    const absl::StatusOr<ServedStore> server = ServeRankStore();
    ASSERT_TRUE(server.ok()) << server.status();
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < size; ++rank) {
      threads.emplace_back([&, rank] {
        const absl::StatusOr<RankStore> store = ConnectRankStore(server->port, absl::Seconds(60));
        ASSERT_TRUE(store.ok()) << store.status();
        const c10::Device device = *TrainerDevice("cuda", rank);
        const auto ranks =
            C10dCollective::Join(*store, {.rank = rank, .size = size, .deadline = absl::Seconds(60), .device = device});
        ASSERT_TRUE(ranks.ok()) << ranks.status();
        const double want = size * (size + 1) / 2.0;
        for (const c10::Device where : {device, c10::Device(c10::kCPU)}) {
          at::Tensor flat = at::full({1000}, rank + 1.0, at::TensorOptions().dtype(at::kFloat).device(where));
          ASSERT_TRUE((*ranks)->Sum(flat).ok());
          EXPECT_EQ(flat.device(), where);
          EXPECT_EQ((flat - want).abs().max().item<double>(), 0);
        }
        const auto word = (*ranks)->Broadcast(rank == 0 ? "go" : "");
        ASSERT_TRUE(word.ok()) << word.status();
        EXPECT_EQ(*word, "go");
      });
    }
  }
};

TEST_F(NcclTest, OneRank) { SumOver(1); }

TEST_F(NcclTest, TwoRanksOnTwoGpus) {
  if (*TrainerDevice("cuda", 0) == *TrainerDevice("cuda", 1)) GTEST_SKIP() << "one GPU, two ranks need two";
  SumOver(2);
}

}  // namespace
}  // namespace evilmoe
