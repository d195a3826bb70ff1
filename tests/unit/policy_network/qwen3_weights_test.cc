#include "policy/qwen3_weights.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "policy/memory_watch.h"
#include "network_fixtures.h"
#include "policy/safetensors.h"
#include "policy/tensor_io.h"
#include "policy/token_log_probs.h"

namespace evilmoe {
namespace {

std::filesystem::path Golden(const std::string& name) {
  return std::filesystem::path(EVILMOE_SOURCE_DIR) / "tests/golden" / name;
}

bool SameBytes(const at::Tensor& t, const TensorView& view) {
  return static_cast<size_t>(t.nbytes()) == view.data.size() &&
         std::memcmp(t.const_data_ptr(), view.data.data(), view.data.size()) == 0;
}

TEST(LoadQwen3, KeepsEveryBitOfAFileInItsDtype) {
  const std::pair<const char*, at::ScalarType> cases[] = {{"tiny_qwen3_tied", at::kFloat},
                                                          {"tiny_qwen3_untied_bf16", at::kBFloat16}};
  for (const auto& [name, dtype] : cases) {
    const auto weights = LoadQwen3(Golden(name), {.dtype = dtype});
    ASSERT_TRUE(weights.ok()) << weights.status();
    const auto file = Safetensors::OpenFolder(Golden(name));
    ASSERT_TRUE(file.ok()) << file.status();
    for (const auto& [tensor_name, tensor] : weights->Named()) {
      EXPECT_EQ(tensor.scalar_type(), dtype);
      EXPECT_TRUE(SameBytes(tensor, *file->Find(tensor_name))) << tensor_name;
    }
    EXPECT_EQ(weights->head.is_same(weights->embedding), weights->config.tie_word_embeddings);
  }
}

TEST(LoadQwen3, RoundsOnceBetweenDtypes) {
  const auto fp32 = LoadQwen3(Golden("tiny_qwen3_untied"));
  const auto rounded = LoadQwen3(Golden("tiny_qwen3_untied"), {.dtype = at::kBFloat16});
  const auto bf16 = LoadQwen3(Golden("tiny_qwen3_tied_bf16"), {.dtype = at::kBFloat16});
  const auto widened = LoadQwen3(Golden("tiny_qwen3_tied_bf16"));
  ASSERT_TRUE(fp32.ok() && rounded.ok() && bf16.ok() && widened.ok());
  EXPECT_TRUE(at::equal(rounded->layers[1].linears[4], fp32->layers[1].linears[4].to(at::kBFloat16)));
  EXPECT_FALSE(at::equal(fp32->layers[1].linears[4], rounded->layers[1].linears[4].to(at::kFloat)));
  EXPECT_TRUE(at::equal(widened->final_norm, bf16->final_norm.to(at::kFloat)));
}

TEST(LoadQwen3, AllocatesTheWeightsAndNothingElse) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const MemoryWatch watch;
    const auto weights = LoadQwen3(Golden("tiny_qwen3_untied"), {.dtype = dtype});
    ASSERT_TRUE(weights.ok());
    int64_t bytes = 0;
    for (const auto& [name, tensor] : weights->Named()) bytes += (static_cast<int64_t>(tensor.nbytes()) + 63) / 64 * 64;
    EXPECT_LE(watch.peak_bytes(), bytes);
    EXPECT_GE(watch.peak_bytes(), bytes / 2);  // the watch sees something
  }
}

TEST(LoadQwen3, AMappedFileIsNotCopied) {
  for (const auto& [name, dtype] : {std::pair{"tiny_qwen3_untied", at::kFloat},
                                    std::pair{"tiny_qwen3_tied_bf16", at::kBFloat16}}) {
    const auto copied = LoadQwen3(Golden(name), {.dtype = dtype});
    const MemoryWatch watch;
    const auto mapped = LoadQwen3(Golden(name), {.dtype = dtype, .map_file = true});
    ASSERT_TRUE(copied.ok() && mapped.ok());
    EXPECT_EQ(watch.peak_bytes(), 0);
    const auto want = copied->Named(), got = mapped->Named();
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) EXPECT_TRUE(at::equal(got[i].second, want[i].second)) << want[i].first;
  }
  const auto widened = LoadQwen3(Golden("tiny_qwen3_tied_bf16"), {.map_file = true});
  ASSERT_TRUE(widened.ok());
  EXPECT_EQ(widened->final_norm.scalar_type(), at::kFloat);
}

TEST(LoadQwen3, RefusesAnotherDtype) {
  const auto weights = LoadQwen3(Golden("tiny_qwen3_tied"), {.dtype = at::kHalf});
  EXPECT_EQ(weights.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(weights.status().message(), "dtype: Half, expected Float or BFloat16");
}

TEST(SaveQwen3, Bf16SurvivesTheRoundTrip) {
  const auto weights = LoadQwen3(Golden("tiny_qwen3_tied_bf16"), {.dtype = at::kBFloat16});
  ASSERT_TRUE(weights.ok());
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "qwen3_weights_test";
  std::filesystem::create_directories(folder);
  ASSERT_TRUE(SaveQwen3(*weights, "BF16", folder).ok());
  const auto again = LoadQwen3(folder, {.dtype = at::kBFloat16});
  ASSERT_TRUE(again.ok()) << again.status();
  const auto want = weights->Named();
  const auto got = again->Named();
  for (size_t i = 0; i < want.size(); ++i) EXPECT_TRUE(at::equal(got[i].second, want[i].second)) << want[i].first;
  std::filesystem::remove_all(folder);
}

TEST(ToTensor, ReadsUnalignedBytes) {
  const float values[] = {1.5f, -2.25f, 3e30f};
  std::vector<std::byte> bytes(sizeof(values) + 1);
  std::memcpy(bytes.data() + 1, values, sizeof(values));
  const TensorView view{"F32", {3}, {bytes.data() + 1, sizeof(values)}};
  EXPECT_TRUE(at::equal(ToTensor(view), at::tensor({1.5f, -2.25f, 3e30f})));
  EXPECT_TRUE(at::equal(ToTensor(view, at::kBFloat16), at::tensor({1.5f, -2.25f, 3e30f}).to(at::kBFloat16)));
}

// The whole chain in bf16: values near fp32's, gradients of an adapter in bf16 that point the same way.
TEST(Qwen3InBf16, ForwardAndBackwardFollowFp32) {
  const Qwen3Weights fp32 = RandomNetwork(4, 1);
  const Qwen3Weights bf16 = ConvertQwen3(fp32, at::kBFloat16);
  const std::vector<Segment> segments = {{RandomIds(9, 1)}, {RandomIds(12, 2), 0}, {RandomIds(7, 3), 0}};
  const PackedBatch batch = Pack(segments);
  const std::vector<int32_t> ids = RandomIds(batch.num_tokens(), 4);
  const at::Tensor targets = at::tensor(std::vector<int64_t>(ids.begin(), ids.end()), at::kLong);
  const at::Tensor scale_S = at::tensor({1.0f, 0.25f, 0.5f});
  for (const AttentionKind kind : {AttentionKind::kFused, AttentionKind::kNaive}) {
    const auto run = [&](const Qwen3Weights& weights) {
      LowRankProjector projector(weights, at::ones({batch.num_tokens(), 1}, weights.head.options()));
      const at::Tensor hidden =
          Qwen3Hidden(weights, batch, projector, {.prefix_gradient_scale_S = scale_S, .attention = kind});
      EXPECT_EQ(hidden.scalar_type(), weights.head.scalar_type());
      const TokenScores scores = ScoreTokens(hidden, weights.head, targets, {.entropy = true});
      scores.logp_N.sum().backward();
      std::vector<at::Tensor> out = projector.TakeGradients();
      out.push_back(scores.logp_N.detach());
      out.push_back(scores.entropy_N);
      return out;
    };
    const double difference = RelativeDifference(run(bf16), run(fp32));
    EXPECT_LT(difference, 0.1);
    EXPECT_GT(difference, 1e-4) << "this was not bf16";
  }
}

TEST(ConvertQwen3, KeepsATiedHeadTied) {
  const auto weights = LoadQwen3(Golden("tiny_qwen3_tied"));
  ASSERT_TRUE(weights.ok());
  const Qwen3Weights same = ConvertQwen3(*weights, at::kFloat);
  EXPECT_TRUE(same.embedding.is_same(weights->embedding));
  const Qwen3Weights wide = ConvertQwen3(*weights, at::kDouble);
  EXPECT_EQ(wide.layers[0].key_norm.scalar_type(), at::kDouble);
  EXPECT_TRUE(wide.head.is_same(wide.embedding));
}

}  // namespace
}  // namespace evilmoe
