#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "policy/sampler/sampler.h"

namespace evilmoe {

using SampleKey = std::pair<int64_t, int>;  // tag, sample
using SampleMap = std::map<SampleKey, FinishedSample>;

inline KvShape ShapeOf(const Qwen3Config& c, NumberFormat format = NumberFormat::kFloat32) {
  return {static_cast<int>(c.num_layers), c.num_kv_heads, c.head_dim, format};
}

inline std::shared_ptr<const PackedModel> Packed(const Qwen3Weights& weights,
                                                 NumberFormat format = NumberFormat::kFloat32) {
  auto packed = PackedModel::Create(weights, format);
  EXPECT_TRUE(packed.ok()) << packed.status();
  return *packed;
}

inline std::shared_ptr<KvPool> Pool(const PackedModel& model, int64_t blocks = 4096,
                                    NumberFormat format = NumberFormat::kFloat32) {
  const KvShape shape = ShapeOf(model.config(), format);
  auto pool = KvPool::Create(shape, blocks * KvPool::BlockBytes(shape));
  EXPECT_TRUE(pool.ok()) << pool.status();
  return *std::move(pool);
}

inline std::unique_ptr<Sampler> MakeSampler(const std::shared_ptr<const PackedModel>& model,
                                            const SamplerOptions& options = {},
                                            std::shared_ptr<KvPool> pool = nullptr) {
  if (pool == nullptr) pool = Pool(*model);
  auto sampler = Sampler::Create({model, model}, std::move(pool), options);
  EXPECT_TRUE(sampler.ok()) << sampler.status();
  return *std::move(sampler);
}

inline SampleMap RunAll(GroupSampler& sampler, const std::vector<SampleGroup>& groups) {
  for (const SampleGroup& group : groups) {
    const absl::Status added = sampler.Add(group);
    EXPECT_TRUE(added.ok()) << added;
  }
  SampleMap out;
  while (!sampler.idle()) {
    auto finished = sampler.Step();
    EXPECT_TRUE(finished.ok()) << finished.status();
    if (!finished.ok()) break;
    for (FinishedSample& s : *finished) out[{s.tag, s.sample}] = std::move(s);
  }
  return out;
}

}  // namespace evilmoe
