#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "network_fixtures.h"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "policy/token_log_probs.h"

namespace evilmoe {
namespace {

// ATen's meta device knows shapes, dtypes and devices and no numbers. Like any accelerator it refuses tensors that were
// left on the CPU. It lacks index_select, so no forward pass runs there; these parts do.
TEST(OnAnotherDevice, WeightsBatchAndTablesArePutThere) {
  const auto weights = LoadQwen3(std::filesystem::path(EVILMOE_SOURCE_DIR) / "tests/golden/tiny_qwen3_untied_bf16",
                                 {.dtype = at::kBFloat16, .device = at::kMeta});
  ASSERT_TRUE(weights.ok()) << weights.status();
  for (const auto& [name, tensor] : weights->Named()) EXPECT_TRUE(tensor.is_meta()) << name;
  const PackedBatch batch = Pack({{RandomIds(9, 1)}, {RandomIds(12, 2), 0}}, at::kMeta);
  for (const at::Tensor& t : {batch.ids_N, batch.positions_N, batch.padded_from_M, batch.packed_from_N}) {
    EXPECT_TRUE(t.is_meta());
  }
  const RotaryTables tables = Rotary(weights->config, batch.positions_N);
  EXPECT_TRUE(tables.cos.is_meta() && tables.sin.is_meta());
  const at::Tensor x = at::empty({21, 4, weights->config.head_dim}, weights->head.options());
  EXPECT_EQ(ApplyRotary(x, tables).scalar_type(), at::kBFloat16);
}

TEST(OnAnotherDevice, LogProbsMakeNothingOnTheCpu) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto options = at::TensorOptions().dtype(dtype).device(at::kMeta);
    const at::Tensor hidden = at::empty({21, 8}, options).requires_grad_(true);
    const at::Tensor head = at::empty({50, 8}, options).requires_grad_(true);
    const at::Tensor targets = at::empty({21}, options.dtype(at::kLong));
    const TokenScores scores =
        ScoreTokens(hidden, head, targets, {.temperature = 0.7, .entropy = true, .chunk_rows = 8});
    EXPECT_TRUE(scores.entropy_N.is_meta());
    EXPECT_EQ(scores.logp_N.scalar_type(), at::kFloat);
    scores.logp_N.sum().backward();
    EXPECT_EQ(hidden.grad().scalar_type(), dtype);
    EXPECT_EQ(head.grad().scalar_type(), dtype);
  }
}

}  // namespace
}  // namespace evilmoe
