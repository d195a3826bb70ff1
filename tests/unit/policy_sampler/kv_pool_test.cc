#include "policy/sampler/kv_pool.h"

#include <gtest/gtest.h>

#include <set>

#include "policy/sampler/bfloat16.h"

namespace evilmoe {
namespace {

constexpr KvShape kShape = {.num_layers = 2, .num_kv_heads = 3, .head_dim = 6};

TEST(KvPool, HoldsAsManyBlocksAsTheBudget) {
  // 16 positions of 6 keys and 16 padded values, fp32, in 6 heads.
  EXPECT_EQ(KvPool::BlockBytes(kShape), 6 * 16 * (6 + 16) * 4);
  const auto pool = *KvPool::Create(kShape, 10 * KvPool::BlockBytes(kShape) + 5);
  EXPECT_EQ(pool->num_blocks(), 10);
  EXPECT_EQ(KvPool::Create(kShape, KvPool::BlockBytes(kShape) - 1).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(KvPool, ReservesUpToTheBudget) {
  const auto pool = *KvPool::Create(kShape, 10 * KvPool::BlockBytes(kShape));
  EXPECT_TRUE(pool->TryReserve(7));
  EXPECT_FALSE(pool->TryReserve(4));
  EXPECT_TRUE(pool->TryReserve(3));
  EXPECT_EQ(pool->num_reserved(), 10);
  pool->Unreserve(8);
  EXPECT_EQ(pool->num_reserved(), 2);
  EXPECT_EQ(pool->max_reserved(), 10);
}

TEST(KvPool, StreamsGetBlocksOfTheirOwnAndGiveThemBack) {
  const auto pool = *KvPool::Create(kShape, 10 * KvPool::BlockBytes(kShape));
  ASSERT_TRUE(pool->TryReserve(10));
  KvStream a, b;
  pool->Grow(a, 17);
  pool->Grow(b, 16);
  pool->Grow(a, 33);
  EXPECT_EQ(a.blocks.size(), 3u);
  EXPECT_EQ(b.blocks.size(), 1u);
  std::set<int32_t> blocks(a.blocks.begin(), a.blocks.end());
  blocks.insert(b.blocks.begin(), b.blocks.end());
  EXPECT_EQ(blocks.size(), 4u);
  const int32_t first = a.blocks.front();
  pool->Release(a);
  EXPECT_TRUE(a.blocks.empty());
  pool->Grow(b, 32);
  EXPECT_EQ(b.blocks.back(), first) << "memory that was touched is used first";
}

class KvFormatTest : public ::testing::TestWithParam<NumberFormat> {};

TEST_P(KvFormatTest, WritesWhereTheKernelsRead) {
  KvShape shape = kShape;
  shape.format = GetParam();
  const auto pool = *KvPool::Create(shape, 4 * KvPool::BlockBytes(shape));
  ASSERT_TRUE(pool->TryReserve(4));
  KvStream stream;
  pool->Grow(stream, 20);
  const float key[] = {1, 2, 3, 4, 5, 6}, value[] = {-1, -2, -3, -4, -5, -6};
  pool->Write(/*layer=*/1, /*kv_head=*/2, stream, /*index=*/18, key, value);
  const void* tile = pool->Tile(1, 2, stream.blocks[1]);
  const auto at = [&](int64_t i) {
    return GetParam() == NumberFormat::kFloat32 ? static_cast<const float*>(tile)[i]
                                                : Bf16ToFloat(static_cast<const uint16_t*>(tile)[i]);
  };
  for (int64_t c = 0; c < 6; ++c) {
    EXPECT_EQ(at(c * 16 + 2), key[c]);
    EXPECT_EQ(at(6 * 16 + 2 * 16 + c), value[c]);
  }
  EXPECT_EQ(at(3), 0) << "another position";
}

INSTANTIATE_TEST_SUITE_P(Formats, KvFormatTest, ::testing::Values(NumberFormat::kFloat32, NumberFormat::kBFloat16),
                         [](const auto& c) { return c.param == NumberFormat::kFloat32 ? "Float32" : "BFloat16"; });

}  // namespace
}  // namespace evilmoe
